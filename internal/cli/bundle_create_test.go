package cli

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// atHome keeps downloads and credentials of the machine out of a test.
func atHome(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("IMAGEVECTOR_OVERWRITE", "")
}

func sources(t *testing.T) image.Sources {
	t.Helper()
	out, err := image.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func anImage(t *testing.T, name, architecture string) v1.Image {
	t.Helper()
	return bundletest.Image(t, architecture, bundletest.Layer(t, types.OCILayerZStd, bundletest.File{Name: name, Content: architecture}))
}

// checkCreated reads the bundle that a run made, and what the run printed of it.
func checkCreated(t *testing.T, file, out string) *bundle.Origin {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if sum, _, _ := v1.SHA256(bytes.NewReader(raw)); out != sum.Hex+"  "+file+"\n" {
		t.Errorf("printed %q, the file has digest %s", out, sum)
	}
	got, err := bundle.OpenOrigin(t.Context(), file, bundle.Options{Architecture: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Fits(manifest.KubernetesVersion, sources(t).Names()); err != nil {
		t.Error(err)
	}
	return got
}

func TestBundleCreateFromALayout(t *testing.T) {
	atHome(t)
	var images []bundletest.Named
	for _, name := range append(sources(t).Names(), "more-than-needed") {
		images = append(images, bundletest.Named{Name: name, Reference: "registry.test/" + name + ":v1", Appendable: anImage(t, name, "arm64")})
	}
	layout, file := bundletest.Layout(t, images...), filepath.Join(t.TempDir(), "bundle.tar.zst")
	code, out, err := run(t, "bundle", "create", "--images", layout, "--platform", "linux/arm64", "-o", file)
	if code != 0 {
		t.Fatal(err)
	}
	packed := checkCreated(t, file, out).Vector()
	if _, ok := packed["more-than-needed"]; ok {
		t.Error("an image that nobody needs was packed")
	}
	if !strings.Contains(err, "fetch kube-apiserver") || !strings.Contains(err, fmt.Sprintf("The bundle has %d images", len(packed))) {
		t.Errorf("the progress is %q", err)
	}
}

// Without --platform the bundle is for the machines that the Shoot describes.
func TestBundleCreateForTheShootsArchitecture(t *testing.T) {
	atHome(t)
	_, builtin, _ := run(t, "manifests")
	onARM64 := strings.ReplaceAll(builtin, "        type: any\n", "        type: any-arm64\n        architecture: arm64\n")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), []byte(onARM64), 0o644); err != nil || onARM64 == builtin {
		t.Fatalf("the manifests are the built-in ones, %v", err)
	}
	var images []bundletest.Named
	for _, name := range sources(t).Names() {
		images = append(images, bundletest.Named{Name: name, Reference: "registry.test/" + name + ":v1", Appendable: anImage(t, name, "arm64")})
	}
	file := filepath.Join(t.TempDir(), "bundle.tar.zst")
	code, out, stderr := run(t, "bundle", "create", "-d", dir, "--images", bundletest.Layout(t, images...), "-o", file)
	if code != 0 {
		t.Fatal(stderr)
	}
	checkCreated(t, file, out)
	code, _, stderr = run(t, "bundle", "create", "-d", dir, "--platform", "linux/amd64", "-o", file)
	if code != 2 || !strings.Contains(stderr, "GA-1001") || !strings.Contains(stderr, "are arm64") {
		t.Errorf("for another architecture: exit code %d, %s", code, stderr)
	}
}

// A list of what a layout has says by which names it has it.
func TestBundleListOfALayout(t *testing.T) {
	atHome(t)
	var images []bundletest.Named
	for _, name := range sources(t).Names() {
		images = append(images, bundletest.Named{Name: name, Reference: "registry.test/" + name + ":v1", Appendable: anImage(t, name, "arm64")})
	}
	list := []string{"bundle", "create", "--list", "--platform", "linux/arm64", "--images"}
	code, out, stderr := run(t, append(list, bundletest.Layout(t, images...))...)
	if code != 0 || stderr != "" || !strings.Contains(out, " registry.test/etcd:v1\n") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	if code, out, stderr := run(t, append(list, bundletest.Layout(t, images[1:]...))...); code != 2 || out != "" || !strings.Contains(stderr, "GA-1008") {
		t.Errorf("of a layout that lacks one: exit code %d: %s%s", code, out, stderr)
	}
	t.Setenv("IMAGEVECTOR_OVERWRITE", "/some/file")
	if code, _, stderr := run(t, append(list, bundletest.Layout(t, images...))...); code != 2 || !strings.Contains(stderr, "variable IMAGEVECTOR_OVERWRITE: the images of the layout") {
		t.Errorf("with an overwrite that would not be heeded: exit code %d: %s", code, stderr)
	}
}

func TestBundleCreateFromARegistry(t *testing.T) {
	atHome(t)
	server := httptest.NewServer(bundletest.Registry())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, name := range sources(t).Names() {
		at, err := sources(t).Find(name, manifest.KubernetesVersion, "arm64")
		if err != nil {
			t.Fatal(err)
		}
		bundletest.Push(t, host+"/mirror/"+name+":"+at.Tag, bundletest.Index(t, map[string]v1.Image{"amd64": anImage(t, name, "amd64"), "arm64": anImage(t, name, "arm64")}))
	}
	bundletest.Push(t, host+"/own:v7", anImage(t, "own", "arm64"))
	overwrite := filepath.Join(t.TempDir(), "overwrite.yaml")
	if err := os.WriteFile(overwrite, []byte("images: [{name: coredns, repository: "+host+"/own, tag: v7}]"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bundle.tar.zst")
	args := []string{"bundle", "create", "--images", host + "/mirror", "--platform", "linux/arm64", "-o", file}
	for name, c := range map[string]struct {
		args     []string
		variable string
	}{
		"flag":     {append(slices.Clone(args), "--image-vector-overwrite", overwrite), ""},
		"variable": {args, overwrite},
	} {
		t.Setenv("IMAGEVECTOR_OVERWRITE", c.variable)
		code, out, err := run(t, c.args...)
		if code != 0 {
			t.Fatal(err)
		}
		vector := checkCreated(t, file, out).Vector()
		for image, want := range map[string]string{"coredns": host + "/own:v7@", "kube-apiserver": host + "/mirror/kube-apiserver:v" + manifest.KubernetesVersion + "@"} {
			if !strings.HasPrefix(vector[image], want) {
				t.Errorf("overwritten by %s: %s is %s, want %s…", name, image, vector[image], want)
			}
		}
	}
}

func TestBundleCreateRefuses(t *testing.T) {
	atHome(t)
	directory := t.TempDir()
	file := filepath.Join(directory, "bundle.tar.zst")
	write := func(name, text string) string {
		name = filepath.Join(directory, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	unknown, broken := write("unknown.yaml", "images: [{name: kube-dns, repository: a/b}]"), write("broken.yaml", "images: [{name: etcd}]")
	layout := bundletest.Layout(t, bundletest.Named{Name: "etcd", Reference: "registry.test/etcd:v1", Appendable: anImage(t, "etcd", "amd64")})
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no output":               {nil, "--output is missing"},
		"output nowhere":          {[]string{"-o", filepath.Join(directory, "no", "file")}, "is not a directory"},
		"output is a directory":   {[]string{"-o", directory}, "is not a file"},
		"platform":                {[]string{"-o", file, "--platform", "linux/riscv64"}, "--platform"},
		"log format":              {[]string{"-o", file, "--log-format", "xml"}, "--log-format"},
		"neither path nor host":   {[]string{"-o", file, "--images", "nothing"}, "neither a directory nor a file nor a registry"},
		"manifests":               {[]string{"-o", file, "-d", file}, "--config-dir"},
		"key":                     {[]string{"-o", file, "--sign-key", file}, "read private key"},
		"authority":               {[]string{"-o", file, "--registry-ca", file}, "--registry-ca"},
		"no certificate":          {[]string{"-o", file, "--registry-ca", unknown}, "no certificate in it"},
		"no overwrite":            {[]string{"-o", file, "--image-vector-overwrite", file}, "no such file"},
		"overwrite is unknown":    {[]string{"-o", file, "--image-vector-overwrite", unknown}, "it has no image kube-dns"},
		"overwrite is broken":     {[]string{"-o", file, "--image-vector-overwrite", broken}, "images[0].repository"},
		"overwrite over a layout": {[]string{"-o", file, "--images", layout, "--image-vector-overwrite", broken}, "--image-vector-overwrite"},
		"a layout that lacks":     {[]string{"-o", file, "--images", layout}, "it has no image cni-plugins, containerd"},
	} {
		code, out, err := run(t, append([]string{"bundle", "create"}, c.args...)...)
		if code != 2 || out != "" || !strings.Contains(err, c.want) {
			t.Errorf("%s: exit code %d, printed %q, %s", name, code, out, err)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was made")
	}
}
