// Package bundletest turns a few files into images, and images into layouts and registries.
// Used by the tests of bundle's packages and of cli.
package bundletest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"io"
	"log"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Annotations of a layout's index, as bundle has them; bundle's own tests use this package.
const (
	annotationReference = "org.opencontainers.image.ref.name"
	annotationName      = "dev.gardenadm.image.name"
	annotationUse       = "dev.gardenadm.image.use"
)

// File is a file in a layer. One that is a program has Mode 0755.
type File struct {
	Name, Content string
	Mode          int64
}

// Layer packs files. The media type says how it is compressed.
func Layer(t testing.TB, mediaType types.MediaType, files ...File) v1.Layer {
	t.Helper()
	var plain bytes.Buffer
	archive := tar.NewWriter(&plain)
	for _, file := range files {
		mode := file.Mode
		if mode == 0 {
			mode = 0o644
		}
		check(t, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file.Name, Size: int64(len(file.Content)), Mode: mode}))
		_, err := io.WriteString(archive, file.Content)
		check(t, err)
	}
	check(t, archive.Close())
	return static.NewLayer(compress(t, mediaType, plain.Bytes()), mediaType)
}

func compress(t testing.TB, mediaType types.MediaType, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var compressed io.WriteCloser
	switch mediaType {
	case types.OCILayer, types.DockerLayer:
		compressed = gzip.NewWriter(&out)
	case types.OCILayerZStd:
		compressed, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	default:
		return plain
	}
	_, err := compressed.Write(plain)
	check(t, err)
	check(t, compressed.Close())
	return out.Bytes()
}

// Image makes an image for linux of layers, the lowest first.
func Image(t testing.TB, architecture string, layers ...v1.Layer) v1.Image {
	t.Helper()
	out, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{
		OS: "linux", Architecture: architecture, Created: v1.Time{Time: time.Unix(1_700_000_000, 0).UTC()}, RootFS: v1.RootFS{Type: "layers"},
	})
	check(t, err)
	for _, layer := range layers {
		out, err = mutate.Append(out, mutate.Addendum{Layer: layer})
		check(t, err)
	}
	return out
}

// Index makes an index of images for several platforms, by architecture. What is for none, as a signature, is added as registries have it.
func Index(t testing.TB, images map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	out := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range []string{"unknown", "amd64", "arm64"} {
		if image, ok := images[architecture]; ok {
			out = mutate.AppendManifests(out, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "linux", Architecture: architecture},
			}})
		}
	}
	return out
}

// Named is an image, or an index, of a layout.
type Named struct {
	Name, Reference string
	mutate.Appendable
	// Use is what the bundle has it for; "" stands for pod.
	Use string
}

// Layout writes a layout as hack/build does, and returns its directory.
func Layout(t testing.TB, images ...Named) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "layout")
	written, err := layout.Write(directory, empty.Index)
	check(t, err)
	for _, one := range images {
		annotations := layout.WithAnnotations(map[string]string{annotationName: one.Name, annotationReference: one.Reference, annotationUse: cmp.Or(one.Use, "pod")})
		switch image := one.Appendable.(type) {
		case v1.Image:
			check(t, written.AppendImage(image, annotations))
		case v1.ImageIndex:
			check(t, written.AppendIndex(image, annotations))
		default:
			t.Fatalf("%s is a %T", one.Name, image)
		}
	}
	return directory
}

// Registry is a registry in this process that speaks to everybody.
func Registry() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// Push puts an image or an index into a registry.
func Push(t testing.TB, reference string, what mutate.Appendable, options ...remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	check(t, err)
	switch what := what.(type) {
	case v1.Image:
		check(t, remote.Write(ref, what, options...))
	case v1.ImageIndex:
		check(t, remote.WriteIndex(ref, what, options...))
	default:
		t.Fatalf("%s is a %T", reference, what)
	}
}

// Digest is that of an image or index.
func Digest(t testing.TB, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	out, err := of.Digest()
	check(t, err)
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
