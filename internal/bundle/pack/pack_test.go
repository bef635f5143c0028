package pack

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
	"github.com/gardenadm/gardenadm/internal/bundle/demand"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/bundle/source"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/model/image"
)

func amd64() source.Platform { return source.Platform{OS: "linux", Architecture: "amd64"} }

func wanted() []demand.Image {
	return []demand.Image{{Name: "api", Use: bundle.UsePod}, {Name: "scheduler", Use: bundle.UsePod}, {Name: "tools", Use: bundle.UseHost}}
}

func names() []string { return []string{"api", "scheduler", "tools"} }

// images share a layer, and differ in how their layers are compressed.
func images(t *testing.T, architecture string) map[string]v1.Image {
	t.Helper()
	shared := bundletest.Layer(t, types.OCILayerZStd, bundletest.File{Name: "usr/local/bin/kubernetes", Mode: 0o755, Content: strings.Repeat(architecture, 1000)})
	own := bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "usr/bin/nft", Content: architecture})
	plain := bundletest.Layer(t, types.OCIUncompressedLayer, bundletest.File{Name: "opt/tool", Content: architecture})
	return map[string]v1.Image{
		"api":       bundletest.Image(t, architecture, shared),
		"scheduler": bundletest.Image(t, architecture, shared, own),
		"tools":     bundletest.Image(t, architecture, plain),
	}
}

func layout(t *testing.T, of map[string]v1.Image) string {
	t.Helper()
	var list []bundletest.Named
	for _, name := range slices.Backward(names()) { // the order does not matter
		list = append(list, bundletest.Named{Name: name, Reference: "registry.test/" + name + ":v1.36.3", Appendable: of[name]})
	}
	return bundletest.Layout(t, list...)
}

func fromLayout(t *testing.T, directory string) *source.Source {
	t.Helper()
	out, err := source.Layout(t.Context(), directory, amd64(), t.TempDir(), names())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func packing(from *source.Source, output string) *Packing {
	return &Packing{Images: wanted(), Source: from, Platform: amd64(), Kubernetes: "1.36.3", Gardenadm: "v1.0.0", Output: output}
}

// packed makes a bundle and returns its file.
func packed(t *testing.T, from *source.Source, changes ...func(*Packing)) string {
	t.Helper()
	p := packing(from, filepath.Join(t.TempDir(), "bundle.tar.zst"))
	for _, change := range changes {
		change(p)
	}
	result, err := p.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := read(t, p.Output)
	if sum, size, _ := v1.SHA256(bytes.NewReader(raw)); sum.Hex != result.SHA256 || size != result.Size {
		t.Errorf("the result says %+v, the file has %d bytes with digest %s", result, size, sum)
	}
	return p.Output
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func opened(t *testing.T, file string, options bundle.Options) *bundle.Origin {
	t.Helper()
	out, err := bundle.OpenOrigin(t.Context(), file, options)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBundleCanBeRead(t *testing.T) {
	of := images(t, "amd64")
	got := opened(t, packed(t, fromLayout(t, layout(t, of))), bundle.Options{Architecture: "amd64"})
	if got.Kubernetes() != "1.36.3" || got.Gardenadm() != "v1.0.0" || got.Platform() != "linux/amd64" || got.Signed() {
		t.Errorf("it is for %s on %s, made by %s, signed: %t", got.Kubernetes(), got.Platform(), got.Gardenadm(), got.Signed())
	}
	if err := got.Fits("1.36.3", names()); err != nil {
		t.Error(err)
	}
	var used []string
	for _, use := range []bundle.Use{bundle.UsePod, bundle.UseHost} {
		for _, one := range got.Images(use) {
			used = append(used, string(use)+" "+one.Pinned())
		}
	}
	var want []string
	for _, one := range wanted() {
		want = append(want, string(one.Use)+" registry.test/"+one.Name+":v1.36.3@"+bundletest.Digest(t, of[one.Name]).String())
	}
	if !slices.Equal(used, want) {
		t.Errorf("it has %v, want %v", used, want)
	}

	// Its image vector says the same, in Gardener's format.
	raw, err := got.Metadata(bundle.DocumentVector)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := image.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, reference := range got.Vector() {
		if at, err := sources.Find(name, "1.36.3", "amd64"); err != nil || at.String() != reference {
			t.Errorf("its image vector has %s at %s instead of %s: %v", name, at, reference, err)
		}
	}
	for _, title := range []string{bundle.DocumentSBOM, bundle.DocumentNotice} {
		if raw, err := got.Metadata(title); err != nil || !bytes.Contains(raw, []byte(bundletest.Digest(t, of["tools"]).Hex)) {
			t.Errorf("%s does not tell of the image tools: %v", title, err)
		}
	}
}

func TestSameImagesMakeTheSameFile(t *testing.T) {
	one := read(t, packed(t, fromLayout(t, layout(t, images(t, "amd64")))))
	two := read(t, packed(t, fromLayout(t, layout(t, images(t, "amd64")))))
	if !bytes.Equal(one, two) {
		t.Errorf("two bundles of the same images differ (%d and %d bytes)", len(one), len(two))
	}
}

func TestBundleFromARegistry(t *testing.T) {
	server := httptest.NewServer(bundletest.Registry())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	of, arm64 := images(t, "amd64"), images(t, "arm64")
	locations := map[string]image.Location{}
	for _, name := range names() {
		locations[name] = image.Location{Repository: host + "/mirror/" + name, Tag: "v1.36.3"}
		bundletest.Push(t, locations[name].String(), bundletest.Index(t, map[string]v1.Image{"amd64": of[name], "arm64": arm64[name]}))
	}
	for architecture, of := range map[string]map[string]v1.Image{"amd64": of, "arm64": arm64} {
		platform := source.Platform{OS: "linux", Architecture: architecture}
		cache := t.TempDir()
		var files [][]byte
		for range 2 { // the second one comes from the cache
			from, err := source.Registry(source.RegistryConfig{Locations: locations, Platform: platform, Cache: cache})
			if err != nil {
				t.Fatal(err)
			}
			file := packed(t, from, func(p *Packing) { p.Platform = platform })
			files = append(files, read(t, file))
			got := opened(t, file, bundle.Options{Architecture: architecture})
			for _, name := range names() {
				want := host + "/mirror/" + name + ":v1.36.3@" + bundletest.Digest(t, of[name]).String()
				if got.Vector()[name] != want {
					t.Errorf("%s: %s is %s, want %s", architecture, name, got.Vector()[name], want)
				}
			}
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("%s: two bundles differ", architecture)
		}
	}
}

func TestSignedBundle(t *testing.T) {
	directory := t.TempDir()
	private, public := filepath.Join(directory, "key.pem"), filepath.Join(directory, "pub.pem")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rawPrivate, errPrivate := x509.MarshalPKCS8PrivateKey(key)
	rawPublic, errPublic := x509.MarshalPKIXPublicKey(key.Public())
	if err := errors.Join(errPrivate, errPublic,
		os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawPrivate}), 0o600),
		os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: rawPublic}), 0o644)); err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(private, "")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	from := fromLayout(t, layout(t, images(t, "amd64")))
	opened(t, packed(t, from, func(p *Packing) { p.Signer = signer }), bundle.Options{Architecture: "amd64", Key: verifier})
	if _, err := bundle.OpenOrigin(t.Context(), packed(t, from), bundle.Options{Architecture: "amd64", Key: verifier}); err == nil {
		t.Error("a bundle that is not signed passes for one")
	}
}

// failing cannot sign.
type failing struct{}

func (failing) Sign([]byte) ([]byte, error) { return nil, errors.New("the key is lost") }

func TestFailureLeavesTheFileAsItWas(t *testing.T) {
	twice := images(t, "amd64")
	same := bundletest.Layout(t,
		bundletest.Named{Name: "api", Reference: "registry.test/all:v1", Appendable: twice["api"]},
		bundletest.Named{Name: "scheduler", Reference: "registry.test/all:v1", Appendable: twice["scheduler"]},
		bundletest.Named{Name: "tools", Reference: "registry.test/tools:v1", Appendable: twice["tools"]})
	for name, c := range map[string]struct {
		directory string
		change    func(*Packing)
		want      string
	}{
		"another architecture":    {layout(t, images(t, "arm64")), nil, "it is made for linux/arm64"},
		"one reference for two":   {same, nil, "api and scheduler are the same reference registry.test/all:v1"},
		"it cannot be signed":     {layout(t, images(t, "amd64")), func(p *Packing) { p.Signer = failing{} }, "the key is lost"},
		"no program, but a tar":   {layout(t, map[string]v1.Image{"api": bundletest.Image(t, "amd64", noTar(t)), "scheduler": twice["scheduler"], "tools": twice["tools"]}), nil, "describe images: image api"},
		"the directory is absent": {layout(t, images(t, "amd64")), func(p *Packing) { p.Output = filepath.Join(p.Output, "file") }, "create bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			file := filepath.Join(directory, "bundle.tar.zst")
			if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := packing(fromLayout(t, c.directory), file)
			if c.change != nil {
				c.change(p)
			}
			if _, err := p.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			untouched(t, directory)
		})
	}
}

func noTar(t *testing.T) v1.Layer {
	t.Helper()
	return bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "usr/share/doc/api/licenses.json", Content: "no JSON"})
}

// untouched: the directory has the old file and nothing else.
func untouched(t *testing.T, directory string) {
	t.Helper()
	left, err := os.ReadDir(directory)
	if err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
	if got := read(t, filepath.Join(directory, "bundle.tar.zst")); string(got) != "old" {
		t.Errorf("the file has %d bytes now", len(got))
	}
}

func TestInterruption(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "bundle.tar.zst"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"fetch tools", "describe the images", "write "} {
		ctx, stop := context.WithCancel(t.Context())
		p := packing(fromLayout(t, layout(t, images(t, "amd64"))), filepath.Join(directory, "bundle.tar.zst"))
		_, err := p.Run(ctx, flow.ObserverFunc(func(e flow.Event) {
			if strings.HasPrefix(e.Task, task) {
				stop()
			}
		}))
		if !errors.Is(err, flow.ErrCancelled) {
			t.Errorf("stopped at %q: %v", task, err)
		}
		untouched(t, directory)
	}
}

func TestMissingImageIsNamed(t *testing.T) {
	of := images(t, "amd64")
	directory := bundletest.Layout(t, bundletest.Named{Name: "api", Reference: "registry.test/api:v1", Appendable: of["api"]})
	_, err := source.Layout(t.Context(), directory, amd64(), t.TempDir(), names())
	if err == nil || fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "it has no image scheduler, tools") {
		t.Errorf("got %v", err)
	}
}
