package bundle

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
)

// FuzzLayer: whatever a layer contains, extraction ends without a panic and hands over what was asked for, or fails.
func FuzzLayer(f *testing.F) {
	for _, entries := range [][]tar.Header{
		{file("a", "1"), symlink("b", "a")}, {symlink("a", "a")}, {hardlink("a", "b")}, {file(".wh.a", ""), file(".wh..wh..opq", "")}, {symlink("a", "../..")},
	} {
		for _, mediaType := range []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer} {
			compressed, err := layerOf(f, mediaType, entries...).Compressed()
			if err != nil {
				f.Fatal(err)
			}
			data, err := io.ReadAll(compressed)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := opened(t, pack(t, annotated(nil), "amd64", static.NewLayer(data, types.OCILayer), layerOf(t, types.OCILayer, file("z", "1"))))
		if got, err := extract(b, "/a", "/b"); err == nil && len(got) != 2 {
			t.Errorf("asked for two files, got %v", got)
		}
	})
}

// FuzzIndex: whatever index a file has, it is refused or all of it can be unpacked, and nothing is written beside the directory.
func FuzzIndex(f *testing.F) {
	p := good(f)
	f.Add(encoded(f, p.index))
	p.index.Manifests[2].Annotations = annotated(nil)
	f.Add(encoded(f, p.index))
	p.index.Manifests = append(p.index.Manifests, good(f).index.Manifests...)
	f.Add(encoded(f, p.index))
	f.Fuzz(func(t *testing.T, index []byte) {
		p := good(t)
		var file bytes.Buffer
		if err := archive.Write(t.Context(), &file, archive.Contents{Index: index, Metadata: p.metadata, Layers: p.layers}); err != nil {
			t.Fatal(err)
		}
		o, err := OpenOrigin(t.Context(), saved(t, file.Bytes()), amd64())
		if err != nil {
			return
		}
		parent := t.TempDir()
		if _, err := o.Unpack(t.Context(), filepath.Join(parent, "bundle")); err != nil {
			t.Errorf("accepted %s, but %v", index, err)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}
