package mirror_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
)

// blobs are what is imported, by digest.
type blobs map[string][]byte

func (b blobs) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	data, ok := b[digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// add takes all that the image consists of.
func (b blobs) add(t testing.TB, image v1.Image) {
	t.Helper()
	manifest, err := image.RawManifest()
	check(t, err)
	b[digestOf(t, image)] = manifest
	config, err := image.RawConfigFile()
	check(t, err)
	name, err := image.ConfigName()
	check(t, err)
	b[name.String()] = config
	layers, err := image.Layers()
	check(t, err)
	for _, layer := range layers {
		content, err := layer.Compressed()
		check(t, err)
		data, err := io.ReadAll(content)
		check(t, errors.Join(err, content.Close()))
		b[digestOf(t, layer)] = data
	}
}

func digestOf(t testing.TB, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := of.Digest()
	check(t, err)
	return digest.String()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layerOf packs one file.
func layerOf(t testing.TB, name, content string) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	check(t, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o755}))
	_, err := io.WriteString(archive, content)
	check(t, err)
	check(t, archive.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
	check(t, err)
	return layer
}

func imageOf(t testing.TB, architecture string, layers ...v1.Layer) v1.Image {
	t.Helper()
	out, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: architecture, RootFS: v1.RootFS{Type: "layers"}})
	check(t, err)
	out, err = mutate.AppendLayers(out, layers...)
	check(t, err)
	return out
}

// node is a control plane node whose containerd is in memory.
type node struct {
	*hosttest.Fake
	door *host.Host
}

func newNode() *node {
	fake := hosttest.New()
	return &node{fake, fake.Host()}
}

// has imports an image under a name.
func (n *node) has(t testing.TB, name string, image v1.Image, pinned bool) {
	t.Helper()
	content := blobs{}
	content.add(t, image)
	check(t, n.door.Images.Store(t.Context(), host.Image{Name: name, Digest: digestOf(t, image), Pinned: pinned}, content))
}

func (n *node) options() mirror.Options {
	return mirror.Options{Images: n.door.Images, Content: n.door.Content, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func (n *node) mirror() *mirror.Mirror { return mirror.New(n.options()) }

// serve starts a server with a certificate that its Client trusts.
func serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func authorities(servers ...*httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, server := range servers {
		pool.AddCert(server.Certificate())
	}
	return pool
}

func sha256Of(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
