// Package image turns recipes and built programs into images in an OCI image layout, without a container engine.
// Used by the builder for the bundle and for the workloads of tests.
package image

import (
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/hack/build/layer"
	"github.com/gardenadm/gardenadm/hack/build/program"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// path is where the programs of all images are.
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Image is one image and what the layout's index says about it.
type Image struct {
	Name      string
	Reference string
	Use       recipe.Use
	Platform  program.Platform
	Layers    []*layer.Layer
	v1.Image
}

// Assemble makes the image of a recipe out of its layers. It is pure but for reading the layers' descriptions.
func Assemble(r recipe.Image, tag string, platform program.Platform, layers []*layer.Layer) (*Image, error) {
	made := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	made = mutate.ConfigMediaType(made, types.OCIConfigJSON)
	for i, l := range layers {
		var err error
		made, err = mutate.Append(made, mutate.Addendum{
			Layer:     l,
			MediaType: types.OCILayerZStd,
			History:   v1.History{CreatedBy: "hack/build " + r.Layers[i].Program},
		})
		if err != nil {
			return nil, fmt.Errorf("add layer to image %s: %w", r.Name, err)
		}
	}
	config, err := made.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration of image %s: %w", r.Name, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = platform.OS, platform.Arch
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{Env: []string{path}, Entrypoint: r.Entrypoint, User: r.User, WorkingDir: "/"}
	if made, err = mutate.ConfigFile(made, config); err != nil {
		return nil, fmt.Errorf("configure image %s: %w", r.Name, err)
	}
	return &Image{
		Name:      r.Name,
		Reference: recipe.Repository + "/" + r.Name + ":" + tag,
		Use:       r.Use,
		Platform:  platform,
		Layers:    layers,
		Image:     made,
	}, nil
}
