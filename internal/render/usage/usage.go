// Package usage turns rendered objects into the references of the images that they run.
// Used by render/osc for the images of a node, and by bundle/demand for those of a bundle.
package usage

import (
	"encoding/json"

	"sigs.k8s.io/yaml"
)

// OfObject returns the images of all containers in an object, whatever its kind is.
func OfObject(object any) ([]string, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return OfManifest(raw)
}

// OfManifest does so with YAML or JSON.
func OfManifest(raw []byte) ([]string, error) {
	var tree any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	return walk(tree), nil
}

func walk(tree any) []string {
	var out []string
	switch tree := tree.(type) {
	case []any:
		for _, item := range tree {
			out = append(out, walk(item)...)
		}
	case map[string]any:
		for key, value := range tree {
			switch key {
			case "containers", "initContainers", "ephemeralContainers":
				out = append(out, imagesOf(value)...)
			case "volumes":
				out = append(out, volumesOf(value)...)
			default:
				out = append(out, walk(value)...)
			}
		}
	}
	return out
}

func imagesOf(containers any) []string {
	var out []string
	list, _ := containers.([]any)
	for _, item := range list {
		container, _ := item.(map[string]any)
		if reference, ok := container["image"].(string); ok {
			out = append(out, reference)
		}
	}
	return out
}

// volumesOf: a volume can be the content of an image.
func volumesOf(volumes any) []string {
	var out []string
	list, _ := volumes.([]any)
	for _, item := range list {
		volume, _ := item.(map[string]any)
		source, _ := volume["image"].(map[string]any)
		if reference, ok := source["reference"].(string); ok {
			out = append(out, reference)
		}
	}
	return out
}
