package recipe

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestImagesAreMadeOfKnownPrograms keeps the two lists together.
func TestImagesAreMadeOfKnownPrograms(t *testing.T) {
	images := append(Images(), TestImages()...)
	programs, err := ByName(Programs(), Needed(images)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.Module == "" && p.Version == "" {
			t.Errorf("%s has no version", p.Name)
		}
	}
	for _, image := range images {
		if (image.Use == Pod) != (len(image.Entrypoint) > 0) {
			t.Errorf("%s is for use as %s but has the entrypoint %v", image.Name, image.Use, image.Entrypoint)
		}
		if (image.Use == Pod) != image.Layers[0].Base && image.Name != "hyperkube" { // hyperkube is the pods' layer, read
			t.Errorf("%s: only what runs in a pod needs the base files", image.Name)
		}
	}
}

// TestProductsHaveAllImages: a layout that was built here, for either architecture, has the images of the list.
func TestProductsHaveAllImages(t *testing.T) {
	var want []string
	for _, image := range Images() {
		want = append(want, image.Name)
	}
	slices.Sort(want)
	for _, name := range []string{"bundle", "bundle-arm64"} {
		raw, err := os.ReadFile(filepath.Join("../../../.local", name, "index.json"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Logf("%s was not built here", name)
			continue
		}
		var index struct {
			Manifests []struct{ Annotations map[string]string }
		}
		if err == nil {
			err = json.Unmarshal(raw, &index)
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range index.Manifests {
			got = append(got, one.Annotations["dev.gardenadm.image.name"])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf(".local/%s has %v, want %v: build it anew, or remove it", name, got, want)
		}
	}
}
