package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

var (
	_ agent.Source = &Bundle{}
	_ host.Blobs   = &Bundle{}
)

const reference = "bundle.gardenadm.dev/hyperkube:v1.36.3"

func file(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Linkname: content}
}
func symlink(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}
func hardlink(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
}
func dir(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

// layerOf packs entries; the content of a regular file is in its Linkname.
func layerOf(t testing.TB, mediaType types.MediaType, entries ...tar.Header) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	var compressed io.WriteCloser
	switch mediaType {
	case types.OCILayer:
		compressed = gzip.NewWriter(&out)
	case types.OCILayerZStd:
		compressed, _ = zstd.NewWriter(&out)
	default:
		compressed = struct {
			io.Writer
			io.Closer
		}{&out, io.NopCloser(nil)}
	}
	archive := tar.NewWriter(compressed)
	for _, header := range entries {
		content := ""
		if header.Typeflag == tar.TypeReg {
			content, header.Linkname, header.Size = header.Linkname, "", int64(len(header.Linkname))
		}
		header.Mode = 0o644
		if err := archive.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if mediaType != types.OCIUncompressedLayer {
		if err := compressed.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return static.NewLayer(out.Bytes(), mediaType)
}

// pack writes a layout with one image.
func pack(t *testing.T, annotations map[string]string, architecture string, layers ...v1.Layer) string {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: architecture, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l}); err != nil {
			t.Fatal(err)
		}
	}
	directory := filepath.Join(t.TempDir(), "bundle")
	written, err := layout.Write(directory, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := written.AppendImage(img, layout.WithAnnotations(annotations)); err != nil {
		t.Fatal(err)
	}
	return directory
}

func annotated(change map[string]string) map[string]string {
	out := map[string]string{AnnotationName: "hyperkube", AnnotationReference: reference, AnnotationUse: "host"}
	maps.Copy(out, change)
	return out
}

func opened(t *testing.T, directory string) *Bundle {
	t.Helper()
	b, err := Open(directory, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// extract returns what was handed over, and in which order.
func extract(b *Bundle, paths ...string) (map[string]string, error) {
	got := map[string]string{}
	err := b.Extract(context.Background(), reference, paths, func(path string, content io.Reader) error {
		if _, twice := got[path]; twice {
			return fmt.Errorf("%s came twice", path)
		}
		data, err := io.ReadAll(content)
		got[path] = string(data)
		return err
	})
	return got, err
}

func TestVectorAndImages(t *testing.T) {
	b := opened(t, pack(t, annotated(nil), "amd64", layerOf(t, types.OCILayer, file("a", "1"))))
	if len(b.Images(UsePod)) != 0 || len(b.Images(UseHost)) != 1 {
		t.Fatal("wrong use")
	}
	image := b.Images(UseHost)[0]
	if got := b.Vector()["hyperkube"]; got != reference+"@"+image.Digest {
		t.Errorf("vector: %s", got)
	}
	for _, ref := range []string{reference, reference + "@" + image.Digest, "bundle.gardenadm.dev/hyperkube@" + image.Digest} {
		if got, err := b.Digest(context.Background(), ref); got != image.Digest {
			t.Errorf("digest of %s: %s, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"bundle.gardenadm.dev/hyperkube:v1", "other/hyperkube@" + image.Digest, reference + "@sha256:00"} {
		if _, err := b.Digest(context.Background(), ref); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), ref) {
			t.Errorf("digest of %s: %v", ref, err)
		}
	}
	if got := image.Imports()[1].Name; got != "bundle.gardenadm.dev/hyperkube@"+image.Digest {
		t.Errorf("imported as %s", got)
	}
}

func TestExtract(t *testing.T) {
	tests := []struct {
		name   string
		layers [][]tar.Header // lowest first
		want   map[string]string
		err    string // for the last path, when it is not in want
		paths  []string
	}{
		{name: "regular files", layers: [][]tar.Header{{dir("opt"), file("opt/a", "1"), file("./b", "2")}}, want: map[string]string{"/opt/a": "1", "/b": "2"}},
		{name: "top layer wins", layers: [][]tar.Header{{file("a", "low"), file("b", "low b")}, {file("a", "top")}}, want: map[string]string{"/a": "top", "/b": "low b"}},
		{name: "symlinks", layers: [][]tar.Header{{symlink("kubelet", "hyperkube"), symlink("kubectl", "/hyperkube"), file("hyperkube", "all")}},
			want: map[string]string{"/kubelet": "all", "/kubectl": "all", "/hyperkube": "all"}},
		{name: "symlinked directory", layers: [][]tar.Header{{file("usr/sbin/nft", "nft"), symlink("sbin", "usr/sbin")}}, want: map[string]string{"/sbin/nft": "nft"}},
		{name: "symlink in a layer above", layers: [][]tar.Header{{file("usr/lib/a", "1")}, {symlink("b/c", "../usr/lib/a")}}, want: map[string]string{"/b/c": "1"}},
		{name: "symlink out of the image", layers: [][]tar.Header{{symlink("a", "../../../b"), file("b", "inside")}}, want: map[string]string{"/a": "inside"}},
		{name: "hard links", layers: [][]tar.Header{{file("a", "1"), hardlink("b", "a"), hardlink("c", "./a")}, {file("a", "2")}}, want: map[string]string{"/a": "2", "/b": "1", "/c": "1"}},
		{name: "whiteout", layers: [][]tar.Header{{file("a", "1"), file("d/b", "2")}, {file(".wh.a", ""), file("d/.wh.b", "")}}, paths: []string{"/a"}, err: "find /a in the image"},
		{name: "whiteout of a directory", layers: [][]tar.Header{{file("d/e/b", "2")}, {file(".wh.d", "")}}, paths: []string{"/d/e/b"}, err: "find /d/e/b"},
		{name: "opaque directory", layers: [][]tar.Header{{file("d/a", "1"), file("d/b", "1")}, {file("d/.wh..wh..opq", ""), file("d/b", "2")}}, paths: []string{"/d/a"}, err: "find /d/a"},
		{name: "written again after its whiteout", layers: [][]tar.Header{{file("a", "1")}, {file(".wh.a", "")}, {file("a", "3")}}, want: map[string]string{"/a": "3"}},
		{name: "file over a directory", layers: [][]tar.Header{{file("a/b", "1")}, {file("a", "2")}}, paths: []string{"/a/b"}, err: "find /a/b"},
		{name: "loop", layers: [][]tar.Header{{symlink("a", "b"), symlink("b", "a")}}, paths: []string{"/a"}, err: "more than 40 links"},
		{name: "directory", layers: [][]tar.Header{{dir("a")}}, paths: []string{"/a"}, err: "not a regular file"},
		{name: "missing", layers: [][]tar.Header{{file("a", "1")}}, paths: []string{"/a", "/nope"}, err: "find /nope in the image"},
	}
	for _, test := range tests {
		for _, mediaType := range []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer} {
			t.Run(test.name+"/"+string(mediaType), func(t *testing.T) {
				var layers []v1.Layer
				for _, entries := range test.layers {
					layers = append(layers, layerOf(t, mediaType, entries...))
				}
				paths := test.paths
				for path := range test.want {
					paths = append(paths, path)
				}
				got, err := extract(opened(t, pack(t, annotated(nil), "amd64", layers...)), paths...)
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), reference) {
						t.Errorf("the error is %v", err)
					}
					return
				}
				if err != nil || !maps.Equal(got, test.want) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
	}
}

func TestErrorOfReceiverIsKept(t *testing.T) {
	b := opened(t, pack(t, annotated(nil), "amd64", layerOf(t, types.OCILayerZStd, file("a", "1"))))
	full := errors.New("disk full")
	err := b.Extract(context.Background(), reference, []string{"/a"}, func(string, io.Reader) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.Extract(ctx, reference, []string{"/a"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	whole := layerOf(t, types.OCILayerZStd, file("a", "content of a"))
	digest, err := whole.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join("blobs", "sha256", digest.Hex)
	tests := []struct {
		name         string
		annotations  map[string]string
		architecture string
		damage       func(dir string) error
		err          string
	}{
		{name: "foreign architecture", architecture: "arm64", err: "image " + reference + ": it is made for linux/arm64, this machine is linux/amd64: use the bundle for this machine's architecture"},
		{name: "no layout", damage: func(dir string) error { return os.Remove(filepath.Join(dir, "oci-layout")) }, err: "oci-layout is missing"},
		{name: "no index", damage: func(dir string) error { return os.Remove(filepath.Join(dir, "index.json")) }, err: "index.json is missing"},
		{name: "truncated index", damage: func(dir string) error { return os.Truncate(filepath.Join(dir, "index.json"), 30) }, err: "decode index.json (the bundle is incomplete"},
		{name: "missing blob", damage: func(dir string) error { return os.Remove(filepath.Join(dir, blob)) }, err: blob + " is missing: the bundle is incomplete or damaged: copy"},
		{name: "truncated blob", damage: func(dir string) error { return os.Truncate(filepath.Join(dir, blob), 5) }, err: blob + " has 5 bytes instead of"},
		{name: "damaged manifest", damage: damageManifest, err: "does not match its digest: the bundle is incomplete or damaged"},
		{name: "no name", annotations: map[string]string{AnnotationName: ""}, err: "not a gardenadm bundle"},
		{name: "of other programs, without registry", annotations: map[string]string{AnnotationName: "", AnnotationUse: "", AnnotationReference: "own:v1"},
			err: `the name "own:v1", not one with registry and tag as registry.example.org/name:v1`},
		{name: "of other programs, a tag alone", annotations: map[string]string{AnnotationName: "", AnnotationUse: "", AnnotationReference: "v1"}, err: `the name "v1"`},
		{name: "no reference", annotations: map[string]string{AnnotationReference: ""}, err: AnnotationReference},
		{name: "unknown use", annotations: map[string]string{AnnotationUse: "fun"}, err: `not "fun"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			architecture := test.architecture
			if architecture == "" {
				architecture = "amd64"
			}
			directory := pack(t, annotated(test.annotations), architecture, whole)
			if test.damage != nil {
				if err := test.damage(directory); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Open(directory, "amd64")
			if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), directory) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func damageManifest(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return flip(filepath.Join(dir, "blobs", "sha256", index.Manifests[0].Digest.Hex))
}

// flip damages a file without changing its size.
func flip(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 0xff
	return os.WriteFile(name, data, 0o644)
}

// A directory is read as a whole before anything is taken out of it, as a file is.
func TestOriginOfADamagedDirectory(t *testing.T) {
	whole := layerOf(t, types.OCILayerZStd, file("a", "content of a"))
	digest, err := whole.Digest()
	if err != nil {
		t.Fatal(err)
	}
	directory := pack(t, annotated(nil), "amd64", whole)
	if _, err := OpenOrigin(t.Context(), directory, amd64()); err != nil {
		t.Fatal(err)
	}
	if err := flip(filepath.Join(directory, "blobs", "sha256", digest.Hex)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOrigin(t.Context(), directory, amd64()); codes(err) != string(fault.BadBundle) || !strings.Contains(err.Error(), digest.Hex) {
		t.Errorf("a flipped bit in a layer: %v", err)
	}
}

func TestDamagedLayer(t *testing.T) {
	for _, mediaType := range []types.MediaType{types.OCILayerZStd, types.OCIUncompressedLayer} {
		whole := layerOf(t, mediaType, file("a", "content of a"))
		digest, err := whole.Digest()
		if err != nil {
			t.Fatal(err)
		}
		directory := pack(t, annotated(nil), "amd64", whole)
		b := opened(t, directory)
		content, err := b.Blob(context.Background(), digest.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			t.Errorf("a whole blob: %v", err)
		}
		content.Close()

		if err := flip(filepath.Join(directory, "blobs", "sha256", digest.Hex)); err != nil {
			t.Fatal(err)
		}
		got, err := extract(b, "/a")
		if err == nil || !strings.Contains(err.Error(), digest.Hex+": the content does not match its digest") || len(got) != 0 {
			t.Errorf("extracted %v of a damaged layer, error %v", got, err)
		}
		content, err = b.Blob(context.Background(), digest.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err == nil || !strings.Contains(err.Error(), "does not match its digest") {
			t.Errorf("a damaged blob: %v", err)
		}
		content.Close()
	}
	b := opened(t, pack(t, annotated(nil), "amd64", layerOf(t, types.OCILayer)))
	if _, err := b.Blob(context.Background(), "sha256:../../etc/passwd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a foreign blob: %v", err)
	}
}
