package cli

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/demand"
	"github.com/gardenadm/gardenadm/internal/bundle/pack"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/bundle/source"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

// bundleImages are the images of the bundle that is tested with.
func bundleImages() []demand.Image {
	return []demand.Image{{Name: "etcd", Use: bundle.UsePod}, {Name: "pause", Use: bundle.UsePod}, {Name: "runc", Use: bundle.UseHost}}
}

// bundleDirectory is a layout directory.
func bundleDirectory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range bundleImages() {
		var plain bytes.Buffer
		w := tar.NewWriter(&plain)
		header := tar.Header{Name: one.Name, Typeflag: tar.TypeReg, Mode: 0o644}
		image, errConfig := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{OS: "linux", Architecture: "amd64"})
		err := errors.Join(w.WriteHeader(&header), w.Close(), errConfig)
		image, errLayer := mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(plain.Bytes(), types.OCIUncompressedLayer)})
		err = errors.Join(err, errLayer, path.AppendImage(image, layout.WithAnnotations(map[string]string{
			bundle.AnnotationName: one.Name, bundle.AnnotationReference: "registry.example.org/" + one.Name + ":v1", bundle.AnnotationUse: string(one.Use),
		})))
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bundleFile packs the directory into a file.
func bundleFile(t *testing.T) string { return signedBundleFile(t, nil) }

func signedBundleFile(t *testing.T, signer pack.Signer) string {
	t.Helper()
	var names []string
	for _, one := range bundleImages() {
		names = append(names, one.Name)
	}
	platform := source.Platform{OS: "linux", Architecture: "amd64"}
	from, err := source.Layout(t.Context(), bundleDirectory(t), platform, t.TempDir(), names)
	if err != nil {
		t.Fatal(err)
	}
	packing := pack.Packing{
		Images: bundleImages(), Source: from, Platform: platform, Kubernetes: "1.36.3", Gardenadm: "v0.4.0", Output: filepath.Join(t.TempDir(), "bundle.tar.zst"),
		Signer: signer,
	}
	if _, err := packing.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return packing.Output
}

func TestBundleInspect(t *testing.T) {
	file, dir := bundleFile(t), bundleDirectory(t)
	for path, want := range map[string]bundleInfo{
		file: {
			Path: file, Gardenadm: "v0.4.0", Kubernetes: "1.36.3", Platform: "linux/amd64",
			Documents: []string{bundle.DocumentNotice, bundle.DocumentVector, bundle.DocumentSBOM},
		},
		dir: {Path: dir},
	} {
		code, out, stderr := run(t, "bundle", "inspect", path, "-o", "json")
		var got bundleInfo
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Fatalf("exit code %d: %v (%s)", code, err, stderr)
		}
		if got.Path != want.Path || got.Gardenadm != want.Gardenadm || got.Kubernetes != want.Kubernetes || got.Platform != want.Platform || got.Signed ||
			!slices.Equal(got.Documents, want.Documents) || got.Size <= 3*1536 {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if len(got.Images) != 3 || got.Images[2].Name != "runc" || got.Images[2].Use != bundle.UseHost || got.Images[2].Size != 1536 || !strings.HasPrefix(got.Images[2].Digest, "sha256:") {
			t.Errorf("images %+v", got.Images)
		}
		if code, out, _ := run(t, "bundle", "inspect", path); code != 0 || strings.Count(out, "registry.example.org/") != 3 || !strings.Contains(out, "not signed") {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
	if code, out, stderr := run(t, "bundle", "inspect", file, "--sbom"); code != 0 || !strings.Contains(out, "SPDX") {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
	if code, out, stderr := run(t, "bundle", "inspect", file, "--notice"); code != 0 || out == "" {
		t.Errorf("exit code %d: %s%s", code, out, stderr)
	}
}

func TestBundleMistakes(t *testing.T) {
	file, dir := bundleFile(t), bundleDirectory(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cut, key := filepath.Join(t.TempDir(), "cut"), filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(cut, whole[:len(whole)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	public := "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"
	if err := os.WriteFile(key, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing to do":        {[]string{}, 2, "create, inspect, verify or import"},
		"no bundle":            {[]string{"verify"}, 2, "name the bundle"},
		"two bundles":          {[]string{"verify", file, dir}, 2, "unexpected argument"},
		"no such bundle":       {[]string{"inspect", file + "x"}, 2, "GA-1003"},
		"cut":                  {[]string{"inspect", cut}, 2, "it ends too early"},
		"cut, verify":          {[]string{"verify", cut}, 2, "GA-1003"},
		"unsigned":             {[]string{"verify", file, "--key", key}, 2, "GA-1006"},
		"unsigned directory":   {[]string{"verify", dir, "--key", key}, 2, "GA-1006"},
		"no such key":          {[]string{"verify", file, "--key", key + "x"}, 2, "GA-1001"},
		"too much to print":    {[]string{"inspect", file, "--sbom", "--notice"}, 2, "name one of them"},
		"SBOM as JSON":         {[]string{"inspect", file, "--sbom", "-o", "json"}, 2, "name one of them"},
		"no notice":            {[]string{"inspect", dir, "--notice"}, 1, "find document NOTICE"},
		"unknown output":       {[]string{"inspect", dir, "-o", "xml"}, 2, `"xml"`},
		"import without a key": {[]string{"import", file, "--key", key + "x"}, 2, "GA-1001"},
	} {
		if name == "import without a key" && os.Geteuid() != 0 {
			continue
		}
		code, out, stderr := run(t, append([]string{"bundle"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, want %d; stdout %q; stderr %s", name, code, c.code, out, stderr)
		}
	}
}

func TestBundleVerify(t *testing.T) {
	dir := bundleDirectory(t)
	for _, path := range []string{bundleFile(t), dir} {
		if code, out, stderr := run(t, "bundle", "verify", path); code != 0 || !strings.Contains(out, "is whole: 3 images") || !strings.Contains(out, "not signed") {
			t.Errorf("exit code %d: %s%s", code, out, stderr)
		}
	}
	// Of a directory, too, all is read.
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range blobs {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole[0] ^= 1
		damaged := os.WriteFile(path, whole, 0o600)
		if code, _, stderr := run(t, "bundle", "verify", dir); damaged != nil || code != 2 || !strings.Contains(stderr, "GA-1003") {
			t.Errorf("exit code %d: %s (%v)", code, stderr, damaged)
		}
		whole[0] ^= 1
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever uses a signed bundle without a key is told that nobody checked who made it, and of a Shoot what a garden would refuse: first.
func TestInitTellsWhatIsWorthKnowingFirst(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("init is for root")
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(file, "")
	if err != nil {
		t.Fatal(err)
	}
	const note, warning = "its signature was not checked", "a garden wants exactly 1 control plane node"
	for path, signed := range map[string]bool{signedBundleFile(t, signer): true, bundleFile(t): false} {
		// The bundle lacks images: it goes no further.
		code, out, stderr := run(t, "init", "--dry-run", "-d", shoots+"/five-nodes", "--bundle", path)
		if code != 2 || out != "" || strings.Contains(stderr, note) != signed || !strings.Contains(stderr, warning) {
			t.Errorf("exit code %d, stdout %q: %s", code, out, stderr)
		}
	}
}

func TestBundleImport(t *testing.T) {
	for _, path := range []string{bundleFile(t), bundleDirectory(t)} {
		origin, err := openBundle(t.Context(), path, "", "amd64")
		if err != nil {
			t.Fatal(err)
		}
		fake := hosttest.New()
		dir := filepath.Join(t.TempDir(), "unpacked")
		imported := func(want string) {
			t.Helper()
			var out bytes.Buffer
			if err := importBundle(t.Context(), fake.Host(), origin, dir, Streams{Out: &out}); err != nil || out.String() != want {
				t.Errorf("printed %q, %v, want %q", out.String(), err, want)
			}
		}
		fake.FailOn("ready", errors.New("no containerd"))
		err = importBundle(t.Context(), fake.Host(), origin, dir, Streams{})
		if found := fault.Of(err); len(found) != 1 || found[0].Code != fault.RuntimeUnreachable || !strings.Contains(found[0].Fix, "init --bundle "+origin.Path) {
			t.Errorf("the error is %v", err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || len(fake.Log()) != 0 {
			t.Errorf("something was changed: %v, %v", err, fake.Log())
		}
		fake.FailOn("ready", nil)

		imported("Imported 3 images; 0 were there already.\n")
		there, err := fake.Host().Images.List(t.Context())
		if err != nil || len(there) != 6 || slices.ContainsFunc(there, func(i host.Image) bool { return !i.Pinned }) {
			t.Errorf("images %v, %v", there, err)
		}
		fake.ClearLog()
		imported("Imported 0 images; 3 were there already.\n")
		if slices.ContainsFunc(fake.Log(), func(line string) bool { return strings.HasPrefix(line, "import") }) {
			t.Errorf("imported again: %v", fake.Log())
		}
	}
}
