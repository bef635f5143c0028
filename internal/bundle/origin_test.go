package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/fault"
)

// packing is what a file is packed of; tests change it to make bad files.
type packing struct {
	index     v1.IndexManifest
	signer    *signature.Signer
	metadata  []archive.Blob
	layers    []archive.Blob
	signature []byte // instead of what signer makes
}

func content(t testing.TB, raw []byte) (v1.Descriptor, archive.Blob) {
	t.Helper()
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	return v1.Descriptor{Digest: digest, Size: size}, archive.Blob{Digest: digest, Size: size, Open: open}
}

func encoded(t testing.TB, value any) []byte {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// add packs an image, or the artifact with the documents.
func (p *packing) add(t testing.TB, manifest v1.Manifest, annotations map[string]string) {
	t.Helper()
	descriptor, blob := content(t, encoded(t, manifest))
	descriptor.MediaType, descriptor.Annotations = types.OCIManifestSchema1, annotations
	p.index.Manifests = append(p.index.Manifests, descriptor)
	p.metadata = append(p.metadata, blob)
}

func (p *packing) image(t testing.TB, name, architecture string, layers ...string) {
	t.Helper()
	config, blob := content(t, encoded(t, v1.ConfigFile{OS: "linux", Architecture: architecture, Author: name}))
	p.metadata = append(p.metadata, blob)
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config}
	for _, text := range layers {
		var plain bytes.Buffer
		w := tar.NewWriter(&plain)
		h := tar.Header{Name: "file", Size: int64(len(text)), Mode: 0o644}
		if err := errors.Join(w.WriteHeader(&h), second(io.WriteString(w, text)), w.Close()); err != nil {
			t.Fatal(err)
		}
		layer, blob := content(t, plain.Bytes())
		layer.MediaType = types.OCIUncompressedLayer
		manifest.Layers = append(manifest.Layers, layer)
		p.layers = append(p.layers, blob)
	}
	p.add(t, manifest, map[string]string{AnnotationName: name, AnnotationReference: "registry.example.org/" + name + ":v1", AnnotationUse: "pod"})
}

func second(_ int, err error) error { return err }

// documents packs documents by title; what they say of their size is larger than it is by wrong bytes.
func (p *packing) documents(t testing.TB, documents map[string]string, wrong ...int64) {
	t.Helper()
	config, blob := content(t, []byte("{}"))
	p.metadata = append(p.metadata, blob)
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: ArtifactMetadata, Config: config}
	for _, title := range slices.Sorted(maps.Keys(documents)) {
		document, blob := content(t, []byte(documents[title]))
		document.Annotations = map[string]string{AnnotationTitle: title}
		for _, n := range wrong {
			document.Size += n
		}
		manifest.Layers = append(manifest.Layers, document)
		p.metadata = append(p.metadata, blob)
	}
	p.add(t, manifest, map[string]string{AnnotationName: "metadata", AnnotationUse: string(UseMetadata)})
}

// good is a bundle of two images that share a layer.
func good(t testing.TB) *packing {
	t.Helper()
	p := &packing{index: v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Annotations: map[string]string{
		AnnotationFormat: "1", AnnotationGardenadm: "v0.4.0", AnnotationKubernetes: "1.36.3", AnnotationPlatform: "linux/amd64",
	}}}
	p.image(t, "coredns", "amd64", "base", strings.Repeat("coredns", 500))
	p.image(t, "etcd", "amd64", "base", "etcd")
	p.documents(t, map[string]string{DocumentSBOM: `{"spdxVersion":"SPDX-2.3"}`, DocumentNotice: "licences", DocumentVector: "images: []"})
	return p
}

func (p *packing) bytes(t testing.TB) []byte {
	t.Helper()
	c := archive.Contents{Index: encoded(t, p.index), Signature: p.signature, Metadata: p.metadata, Layers: p.layers}
	if p.signer != nil {
		signed, err := p.signer.Sign(c.Index)
		if err != nil {
			t.Fatal(err)
		}
		c.Signature = signed
	}
	var out bytes.Buffer
	if err := archive.Write(context.Background(), &out, c); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (p *packing) file(t testing.TB) string {
	t.Helper()
	return saved(t, p.bytes(t))
}

func saved(t testing.TB, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.tar.zst")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func amd64() Options { return Options{Architecture: "amd64"} }

func origin(t testing.TB, path string) *Origin {
	t.Helper()
	o, err := OpenOrigin(context.Background(), path, amd64())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func codes(err error) string {
	var out []string
	for _, f := range fault.Of(err) {
		out = append(out, string(f.Code))
	}
	return strings.Join(out, " ")
}

func TestFileTellsWhatItHas(t *testing.T) {
	o := origin(t, good(t).file(t))
	if o.Gardenadm() != "v0.4.0" || o.Kubernetes() != "1.36.3" || o.Platform() != "linux/amd64" || o.Signed() || !o.IsFile() {
		t.Errorf("%s, %s, %s, signed %v, file %v", o.Gardenadm(), o.Kubernetes(), o.Platform(), o.Signed(), o.IsFile())
	}
	images := o.Images(UsePod)
	if len(images) != 2 || images[0].Name != "coredns" || images[1].Name != "etcd" || len(o.Vector()) != 2 {
		t.Errorf("images %v, vector %v", images, o.Vector())
	}
	if o.SizeOf(images[0])+o.SizeOf(images[1]) <= sum(inOrder(o.rest)) || o.Size() <= sum(inOrder(o.rest)) {
		t.Errorf("sizes %d and %d, all %d: a shared layer is of both, and all of the bundle is more than its layers", o.SizeOf(images[0]), o.SizeOf(images[1]), o.Size())
	}
	if notice, err := o.Metadata(DocumentNotice); err != nil || string(notice) != "licences" {
		t.Errorf("notice %q, %v", notice, err)
	}
	if _, err := o.Metadata("poem"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "poem") {
		t.Errorf("the error is %v", err)
	}
}

func TestFits(t *testing.T) {
	o := origin(t, good(t).file(t))
	plain := opened(t, pack(t, annotated(nil), "amd64", layerOf(t, types.OCILayer)))
	for name, c := range map[string]struct {
		contents   *Contents
		kubernetes string
		images     []string
		want       string
	}{
		"fits":               {o.Contents, "1.36.3", []string{"etcd", "coredns"}, ""},
		"needs less":         {o.Contents, "1.36.3", []string{"etcd"}, ""},
		"other version":      {o.Contents, "1.36.4", []string{"etcd"}, "it is for Kubernetes 1.36.3 instead of 1.36.4"},
		"all that is missed": {o.Contents, "1.35.0", []string{"pause", "etcd", "flannel", "pause"}, "instead of 1.35.0; it lacks flannel, pause"},
		"says no version":    {plain.Contents, "1.36.3", []string{"hyperkube"}, ""},
	} {
		err := c.contents.Fits(c.kubernetes, c.images)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (codes(err) != string(fault.UnfitBundle) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), o.Path)):
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestFileIsRefused(t *testing.T) {
	without := func(blobs []archive.Blob, digest string) []archive.Blob {
		return slices.DeleteFunc(blobs, func(b archive.Blob) bool { return b.Digest.String() == digest })
	}
	_, stranger := content(t, []byte("of nobody"))
	for name, c := range map[string]struct {
		change func(*packing)
		want   string
	}{
		"no format":       {func(p *packing) { delete(p.index.Annotations, AnnotationFormat) }, "gardenadm bundle create did not make it"},
		"newer format":    {func(p *packing) { p.index.Annotations[AnnotationFormat] = "2" }, `it has format "2", and this gardenadm reads "1" only`},
		"other platform":  {func(p *packing) { p.index.Annotations[AnnotationPlatform] = "linux/arm64" }, "it is made for linux/amd64, and the bundle for linux/arm64"},
		"foreign image":   {func(p *packing) { p.image(t, "flannel", "arm64", "x") }, "image registry.example.org/flannel:v1: it is made for linux/arm64, this machine is linux/amd64"},
		"no images":       {func(p *packing) { p.index.Manifests = nil }, "it lists no images"},
		"image twice":     {func(p *packing) { p.image(t, "etcd", "amd64", "x") }, "name etcd is used by"},
		"documents twice": {func(p *packing) { p.documents(t, map[string]string{"x": "y"}) }, "name metadata is used by"},
		"nameless document": {func(p *packing) {
			p.index.Manifests = p.index.Manifests[:2]
			p.documents(t, map[string]string{"": "y"})
		}, `has title ""`},
		"layer missing":      {func(p *packing) { p.layers = p.layers[:len(p.layers)-1] }, "is missing"},
		"all layers missing": {func(p *packing) { p.layers = nil }, "is missing"},
		"manifest missing":   {func(p *packing) { p.metadata = without(p.metadata, p.index.Manifests[0].Digest.String()) }, p0(t) + " is missing"},
		"all but layers":     {func(p *packing) { p.metadata = nil }, "is missing"},
		"layer of nobody":    {func(p *packing) { p.layers = append(p.layers, stranger) }, stranger.Digest.String() + " belongs to no image"},
		"metadata of nobody": {func(p *packing) { p.metadata = append(p.metadata, stranger) }, stranger.Digest.String() + " belongs to no image"},
		"layers first":       {func(p *packing) { p.layers, p.metadata = p.metadata, p.layers }, "not in its place"},
		"wrong size":         {func(p *packing) { p.index.Manifests[0].Size++ }, "bytes instead of"},
		"negative size":      {func(p *packing) { p.index.Manifests[0].Size = -1 }, "bytes instead of -1"},
		"damaged index":      {func(p *packing) { p.index.Manifests[0].MediaType = "text/plain" }, `is a "text/plain"`},
		"wrong document": {func(p *packing) {
			p.index.Manifests = p.index.Manifests[:2]
			p.documents(t, map[string]string{DocumentSBOM: "{ }"}, 1)
		}, "bytes instead of"},
		"one artifact twice, once as an image": {func(p *packing) {
			twice := p.index.Manifests[2]
			twice.Annotations = annotated(nil)
			p.index.Manifests = append(p.index.Manifests, twice)
		}, ""},
		"large metadata": {func(p *packing) { p.documents(t, map[string]string{"x": strings.Repeat("x", maxJSON+1)}) }, "is missing, or not in its place"},
		"layer sizes differ": {func(p *packing) {
			first := p.index.Manifests[0]
			p.add(t, v1.Manifest{Config: first, Layers: []v1.Descriptor{first, {Digest: first.Digest, Size: 1}}}, annotated(nil))
		}, "cannot have 1 bytes"},
		"manifest is a text": {func(p *packing) {
			text, blob := content(t, []byte("no JSON"))
			text.MediaType, text.Annotations = types.OCIManifestSchema1, annotated(nil)
			p.index.Manifests, p.metadata = append(p.index.Manifests, text), append(p.metadata, blob)
		}, "decode sha256:"},
	} {
		p := good(t)
		c.change(p)
		path := p.file(t)
		_, err := OpenOrigin(t.Context(), path, amd64())
		if codes(err) != string(fault.BadBundle) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
}

// p0 is the digest of the first manifest of a good bundle.
func p0(t *testing.T) string { return good(t).index.Manifests[0].Digest.String() }

func TestAnyArchitecture(t *testing.T) {
	p := good(t)
	if _, err := OpenOrigin(t.Context(), p.file(t), Options{}); err != nil {
		t.Error(err)
	}
	if _, err := OpenOrigin(t.Context(), p.file(t), Options{Architecture: "arm64"}); codes(err) != string(fault.BadBundle) || !strings.Contains(err.Error(), fixArch) {
		t.Errorf("the error is %v", err)
	}
}

func TestNoBundleAtAll(t *testing.T) {
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "nothing"), "empty": saved(t, nil), "text": saved(t, []byte("hello")), "directory": t.TempDir(),
	} {
		if _, err := OpenOrigin(t.Context(), path, amd64()); codes(err) != string(fault.BadBundle) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// Truncated or damaged anywhere, the file is refused; archive's own tests look at every byte.
func TestDamagedFile(t *testing.T) {
	whole := good(t).bytes(t)
	path := saved(t, whole)
	refuses := func(what string, raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenOrigin(t.Context(), path, amd64()); codes(err) != string(fault.BadBundle) {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
	for n := 0; n < len(whole); n += 97 {
		refuses(fmt.Sprintf("truncated to %d bytes", n), whole[:n])
		damaged := slices.Clone(whole)
		damaged[n] ^= 0xff
		refuses(fmt.Sprintf("byte %d damaged", n), damaged)
	}
}

func TestEndOfContextIsNotTheBundlesFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenOrigin(ctx, good(t).file(t), amd64()); !errors.Is(err, context.Canceled) || codes(err) != "" {
		t.Errorf("the error is %v", err)
	}
}

// keys makes a key pair.
func keys(t *testing.T) (*signature.Signer, *signature.Verifier) {
	t.Helper()
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, errSigner := signature.LoadSigner(saved(t, private), "")
	verifier, errVerifier := signature.LoadVerifier(saved(t, public))
	if err := errors.Join(errSigner, errVerifier); err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func TestSignature(t *testing.T) {
	signer, verifier := keys(t)
	_, stranger := keys(t)
	for name, c := range map[string]struct {
		change func(*packing)
		key    *signature.Verifier
		want   string
	}{
		"signed":                  {func(*packing) {}, verifier, ""},
		"signed, nobody asks":     {func(*packing) {}, nil, ""},
		"other key":               {func(*packing) {}, stranger, string(fault.BadSignature)},
		"not signed":              {func(p *packing) { p.signer = nil }, verifier, string(fault.BadSignature)},
		"empty signature":         {func(p *packing) { p.signer, p.signature = nil, []byte{} }, verifier, string(fault.BadSignature)},
		"no signature but text":   {func(p *packing) { p.signer, p.signature = nil, []byte("signed, me") }, verifier, string(fault.BadSignature)},
		"first of all, verified":  {func(p *packing) { p.signer, p.index.Annotations[AnnotationFormat] = nil, "2" }, verifier, string(fault.BadSignature)},
		"signed, but not whole":   {func(p *packing) { p.layers = nil }, verifier, string(fault.BadBundle)},
		"not signed, nobody asks": {func(p *packing) { p.signer = nil }, nil, ""},
	} {
		p := good(t)
		p.signer = signer
		c.change(p)
		path := p.file(t)
		o, err := OpenOrigin(t.Context(), path, Options{Architecture: "amd64", Key: c.key})
		if codes(err) != c.want {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
			continue
		}
		if c.want != "" {
			continue
		}
		// A directory says the same as the file that it was unpacked from.
		dir := filepath.Join(t.TempDir(), "bundle")
		if _, err := o.Unpack(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if again, err := OpenOrigin(t.Context(), dir, Options{Key: c.key}); err != nil || again.Signed() != o.Signed() || again.IsFile() {
			t.Errorf("%s, unpacked: %v", name, err)
		}
		if _, err := OpenOrigin(t.Context(), dir, Options{Key: stranger}); codes(err) != string(fault.BadSignature) {
			t.Errorf("%s, unpacked, other key: the error is %v", name, err)
		}
	}
}
