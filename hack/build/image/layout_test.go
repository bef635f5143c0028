package image

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/gardenadm/gardenadm/hack/build/cache"
	"github.com/gardenadm/gardenadm/hack/build/layer"
	"github.com/gardenadm/gardenadm/hack/build/program"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// twoImages are images that share their only layer.
func twoImages(t *testing.T, content string) []*Image {
	t.Helper()
	store, err := cache.Open(t.TempDir(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	compressor, err := layer.NewCompressor(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	files := append(layer.Base(), layer.File{Path: "/tool", Mode: 0o755, Data: []byte(content)})
	shared, _, err := compressor.Make(t.Context(), files, layer.DefaultWindow)
	if err != nil {
		t.Fatal(err)
	}
	var images []*Image
	for _, r := range []recipe.Image{
		{Name: "b", Use: recipe.Pod, Layers: []recipe.Layer{{Program: "tool"}}, Entrypoint: []string{"/tool"}, User: "65532"},
		{Name: "a", Use: recipe.Host, Layers: []recipe.Layer{{Program: "tool"}}},
	} {
		one, err := Assemble(r, "v1", program.Platform{OS: "linux", Arch: "arm64"}, []*layer.Layer{shared})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, one)
	}
	return images
}

func TestLayoutIsValidAndReproducible(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out", "bundle")
	if err := WriteLayout(dir, twoImages(t, "one")); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The validator's thorough mode knows gzip only; the blobs' names are checked here.
	if err := validate.Index(index, validate.Fast); err != nil {
		t.Error(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		if data, err := os.ReadFile(blob); err != nil || fmt.Sprintf("%x", sha256.Sum256(data)) != filepath.Base(blob) {
			t.Errorf("blob %s has another digest (%v)", blob, err)
		}
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	first, second := manifest.Manifests[0], manifest.Manifests[1]
	if len(manifest.Manifests) != 2 || first.Annotations[nameAnnotation] != "a" || first.Annotations[useAnnotation] != "host" ||
		second.Annotations[referenceAnnotation] != "bundle.gardenadm.dev/b:v1" || second.Platform.Architecture != "arm64" {
		t.Errorf("index says %+v", manifest.Manifests)
	}
	before, errBefore := index.Digest()
	if err := WriteLayout(dir, twoImages(t, "one")); err != nil {
		t.Fatal(err)
	}
	again, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := again.Digest(); err != nil || errBefore != nil || after != before {
		t.Errorf("a second run gave another index: %s, was %s", after, before)
	}
}

func TestLayoutHoldsNothingOld(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "bundle")
	for _, content := range []string{"one", "two"} {
		if err := WriteLayout(dir, twoImages(t, content)); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil || len(blobs) != 5 { // a layer; two configurations, two manifests
		t.Errorf("got %d blobs, %v", len(blobs), err)
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 {
		t.Errorf("beside the layout there is %v", left)
	}
}

func TestLayoutReplacesOnlyLayouts(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(precious, []byte("years"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteLayout(dir, twoImages(t, "one")); err == nil {
		t.Error("want an error")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}
