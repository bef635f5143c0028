package recipe

import "testing"

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
