package bundle

import (
	"archive/tar"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// FuzzLayer: whatever a layer contains, extraction ends without a panic and hands over what was asked for, or fails.
func FuzzLayer(f *testing.F) {
	for _, entries := range [][]tar.Header{
		{file("a", "1"), symlink("b", "a")}, {symlink("a", "a")}, {hardlink("a", "b")}, {file(".wh.a", ""), file(".wh..wh..opq", "")}, {symlink("a", "../..")},
	} {
		for _, mediaType := range []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer} {
			compressed, err := layer(f, mediaType, entries...).Compressed()
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
		b := opened(t, pack(t, annotated(nil), "amd64", static.NewLayer(data, types.OCILayer), layer(t, types.OCILayer, file("z", "1"))))
		if got, err := extract(b, "/a", "/b"); err == nil && len(got) != 2 {
			t.Errorf("asked for two files, got %v", got)
		}
	})
}
