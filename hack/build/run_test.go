package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gardenadm/gardenadm/hack/build/cache"
	"github.com/gardenadm/gardenadm/hack/build/layer"
	"github.com/gardenadm/gardenadm/hack/build/program"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// TestLayersTellTheirLicenses: whoever has an image has the licences of what is in it.
func TestLayersTellTheirLicenses(t *testing.T) {
	from := program.Built{Name: "tool", Dir: t.TempDir(), Licenses: filepath.Join(t.TempDir(), "licenses.json")}
	store, errOpen := cache.Open(t.TempDir(), func() {})
	compressor, errCompressor := layer.NewCompressor(t.Context(), store)
	err := errors.Join(errOpen, errCompressor,
		os.WriteFile(filepath.Join(from.Dir, "tool"), nil, 0o755), os.WriteFile(from.Licenses, []byte("{}"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	made, err := makeLayer(t.Context(), compressor, recipe.Layer{Program: "tool", Dir: "/bin"}, from)
	if err != nil {
		t.Fatal(err)
	}
	content, err := made.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var names []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
	if !slices.Contains(names, "bin/tool") || !slices.Contains(names, "usr/share/doc/tool/licenses.json") {
		t.Errorf("got %q", names)
	}
}
