package source

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
)

const tagged = "registry.test/tool:v1"

func amd64() Platform { return Platform{"linux", "amd64"} }

func tool(t *testing.T, architecture string) v1.Image {
	t.Helper()
	return bundletest.Image(t, architecture,
		bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "base", Content: "base"}),
		bundletest.Layer(t, types.OCILayerZStd, bundletest.File{Name: "tool", Content: architecture}))
}

// same fails unless the image was fetched with all of its content.
func same(t *testing.T, got *Image, want v1.Image) {
	t.Helper()
	if got.Descriptor.Digest != bundletest.Digest(t, want) {
		t.Errorf("fetched manifest %s, want %s", got.Descriptor.Digest, bundletest.Digest(t, want))
	}
	layers, err := want.Layers()
	if err != nil || len(got.Manifest.Layers) != len(layers) {
		t.Fatalf("%d layers, want %d: %v", len(got.Manifest.Layers), len(layers), err)
	}
	for i, layer := range got.Manifest.Layers {
		if layer.Digest != bundletest.Digest(t, layers[i]) {
			t.Errorf("layer %d is %s", i, layer.Digest)
		}
		content, err := got.Open(layer.Digest)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(content)
		content.Close()
		if digest, _, _ := v1.SHA256(bytes.NewReader(raw)); err != nil || digest != layer.Digest {
			t.Errorf("layer %d has content of digest %s: %v", i, digest, err)
		}
	}
}

// archived packs the directory into one file.
func archived(t *testing.T, directory string, compressed bool) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = nopCloser{&out}
	if compressed {
		w, _ = zstd.NewWriter(&out)
	}
	archive := tar.NewWriter(w)
	err := archive.AddFS(os.DirFS(directory))
	if err == nil {
		err = archive.Close()
	}
	if err == nil {
		err = w.Close()
	}
	file := filepath.Join(t.TempDir(), "layout.tar")
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestLayout(t *testing.T) {
	wanted := tool(t, "amd64")
	other := bundletest.Named{Name: "other", Reference: "registry.test/other:v1", Appendable: tool(t, "arm64")}
	one := bundletest.Layout(t, other, bundletest.Named{Name: "tool", Reference: tagged, Appendable: wanted})
	for name, path := range map[string]string{
		"directory":                    one,
		"tar":                          archived(t, one, false),
		"tar with zstd":                archived(t, one, true),
		"an image for each platform":   bundletest.Layout(t, bundletest.Named{Name: "tool", Reference: tagged, Appendable: bundletest.Index(t, map[string]v1.Image{"arm64": tool(t, "arm64"), "amd64": wanted})}),
		"an index of only this image":  bundletest.Layout(t, bundletest.Named{Name: "tool", Reference: tagged, Appendable: bundletest.Index(t, map[string]v1.Image{"amd64": wanted})}),
		"with something for no system": bundletest.Layout(t, bundletest.Named{Name: "tool", Reference: tagged, Appendable: bundletest.Index(t, map[string]v1.Image{"unknown": tool(t, "unknown"), "amd64": wanted})}),
	} {
		t.Run(name, func(t *testing.T) {
			source, err := Layout(t.Context(), path, amd64(), t.TempDir(), []string{"tool"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := source.Fetch(t.Context(), "tool")
			if err != nil {
				t.Fatal(err)
			}
			if got.Reference != tagged || got.Name != "tool" || got.Config.Architecture != "amd64" {
				t.Errorf("fetched %s as %s for %s", got.Name, got.Reference, got.Config.Architecture)
			}
			same(t, got, wanted)
		})
	}
}

func TestLayoutThatCannotBeUsed(t *testing.T) {
	one := bundletest.Layout(t, bundletest.Named{Name: "tool", Reference: tagged, Appendable: tool(t, "amd64")})
	empty := t.TempDir()
	for name, c := range map[string]struct {
		path  string
		names []string
		want  string
	}{
		"no such path":   {filepath.Join(empty, "nothing"), nil, "no such file"},
		"no layout":      {empty, nil, "index.json"},
		"a foreign file": {filepath.Join(one, "oci-layout"), nil, "unexpected EOF"},
		"a foreign tar":  {archived(t, filepath.Join(one, "blobs"), false), nil, "it has no index.json"},
		"lacks images":   {one, []string{"tool", "etcd", "runc"}, "it has no image etcd, runc"},
	} {
		_, err := Layout(t.Context(), c.path, amd64(), t.TempDir(), c.names)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "GA-1008") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImageOfALayoutThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct {
		image     v1.Image
		reference string
		damage    func(t *testing.T, blobs string)
		want      string
	}{
		"another architecture": {image: tool(t, "arm64"), want: "it is made for linux/arm64: the bundle is to be for another platform, linux/amd64"},
		"no tag":               {reference: "registry.test/tool", want: "must be repository:tag"},
		"not in full":          {reference: "tool:v1", want: "must be repository:tag"},
		"a digest":             {reference: "registry.test/tool@sha256:" + strings.Repeat("a", 64), want: "must be repository:tag"},
		"a blob is missing": {damage: func(t *testing.T, blobs string) {
			if err := os.Remove(largest(t, blobs)); err != nil {
				t.Fatal(err)
			}
		}, want: "is missing"},
		"a blob is damaged": {damage: func(t *testing.T, blobs string) { flip(t, largest(t, blobs)) }, want: "does not match size and digest"},
		"a blob is too short": {damage: func(t *testing.T, blobs string) {
			if err := os.Truncate(largest(t, blobs), 3); err != nil {
				t.Fatal(err)
			}
		}, want: "does not match size and digest"},
	} {
		t.Run(name, func(t *testing.T) {
			named := bundletest.Named{Name: "tool", Reference: tagged, Appendable: tool(t, "amd64")}
			if c.image != nil {
				named.Appendable = c.image
			}
			if c.reference != "" {
				named.Reference = c.reference
			}
			directory := bundletest.Layout(t, named)
			if c.damage != nil {
				c.damage(t, filepath.Join(directory, "blobs", "sha256"))
			}
			source, err := Layout(t.Context(), directory, amd64(), t.TempDir(), []string{"tool"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.Fetch(t.Context(), "tool")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "fetch image tool") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// largest is a layer or a manifest: whichever, it is needed.
func largest(t *testing.T, blobs string) string {
	t.Helper()
	var name string
	var most int64
	err := filepath.WalkDir(blobs, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > most {
			name, most = path, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func flip(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0xff
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A tar cannot write outside of the cache, nor put content there under another digest.
func TestHostileTar(t *testing.T) {
	for name, entry := range map[string]string{
		"a path":          "blobs/sha256/../../../escaped",
		"no digest":       "blobs/sha256/x",
		"another content": "blobs/sha256/" + strings.Repeat("a", 64),
	} {
		var out bytes.Buffer
		archive := tar.NewWriter(&out)
		for _, header := range []tar.Header{{Name: "index.json", Size: 2}, {Name: entry, Size: 2}} {
			header.Typeflag, header.Mode = tar.TypeReg, 0o644
			if err := archive.WriteHeader(&header); err != nil {
				t.Fatal(err)
			}
			if _, err := archive.Write([]byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
		directory := t.TempDir()
		file := filepath.Join(directory, "hostile.tar")
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		cache := filepath.Join(directory, "a", "b", "cache")
		_, err := Layout(t.Context(), file, amd64(), cache, []string{"tool"})
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
		if left, err := filepath.Glob(filepath.Join(directory, "*")); err != nil || len(left) > 2 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
		if kept, err := filepath.Glob(filepath.Join(cache, "sha256", "*")); err != nil || len(kept) > 0 {
			t.Errorf("%s: the cache keeps %v, %v", name, kept, err)
		}
	}
}
