// Package demand turns a cluster into the list of images that it needs, by rendering all that it consists of.
// Used by whoever packs a bundle, or asks whether one fits.
package demand

import (
	"fmt"
	"maps"
	"slices"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	pools "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/render/usage"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Image is an image that a cluster needs.
type Image struct {
	// Name is the image's in the image vector.
	Name string
	// Use is host when only files are taken from it.
	Use bundle.Use
}

// Images lists what a cluster needs, sorted by name: what its objects, static pods and nodes refer to, and nothing else.
// Nothing is issued and nothing is asked of the world. What the components cannot use of the manifests is refused first, all at once.
func Images(c *cluster.Cluster) ([]Image, error) {
	if err := catalog.Check(c); err != nil {
		return nil, err
	}
	out, err := render(c)
	if err != nil {
		return nil, fmt.Errorf("find out which images the cluster needs: %w", err)
	}
	return out, nil
}

func render(c *cluster.Cluster) ([]Image, error) {
	known, err := image.Builtin()
	if err != nil {
		return nil, err
	}
	r, err := newRendering(c, known.Names())
	if err != nil {
		return nil, err
	}
	if err := r.all(); err != nil {
		return nil, err
	}
	return r.images()
}

// rendering is a cluster being rendered, and what was found in it.
type rendering struct {
	in    component.Input
	node  cluster.Node
	names map[string]string // by the reference that stands for the image
	pod   []string          // references that are run
	host  []string          // references from which files are taken
}

func newRendering(c *cluster.Cluster, names []string) (*rendering, error) {
	r := &rendering{
		// Any machine does: what differs from one to the next is no image.
		node:  cluster.Node{Name: "machine", Addresses: c.APIServiceIPs(), Pool: c.ControlPlane.Name, Architecture: "amd64"},
		names: map[string]string{},
	}
	vector := image.Vector{}
	for _, name := range names {
		vector[name] = "demand.gardenadm.invalid/" + name + ":v0"
		r.names[vector[name]] = name
	}
	specs, err := pools.Secrets(c, []cluster.Node{r.node})
	if err != nil {
		return nil, err
	}
	r.in = component.Input{Cluster: c, Images: vector, Secrets: secret.Placeholders(specs)}
	return r, nil
}

func (r *rendering) all() error {
	objects, err := catalog.Objects(r.in)
	if err != nil {
		return err
	}
	for _, object := range objects {
		found, err := usage.OfObject(object)
		if err != nil {
			return fmt.Errorf("read %s: %w", object.GetName(), err)
		}
		r.pod = append(r.pod, found...)
	}
	for _, pool := range r.in.Cluster.Pools {
		if err := r.pool(pool); err != nil {
			return err
		}
	}
	return nil
}

// pool renders the nodes of a pool, with static pods when it is the control plane's.
func (r *rendering) pool(pool cluster.Pool) error {
	in := osc.Input{Cluster: r.in.Cluster, Pool: pool, Images: r.in.Images, Secrets: r.in.Secrets, ControlPlane: []cluster.Node{r.node}}
	if pool.ControlPlane {
		pods, err := catalog.StaticPods(r.in, r.node)
		if err != nil {
			return err
		}
		for _, pod := range pods {
			found, err := usage.OfManifest(pod.Manifest)
			if err != nil {
				return fmt.Errorf("read static pod %s: %w", pod.Name, err)
			}
			r.pod = append(r.pod, found...)
		}
		in.Nodes = []cluster.Node{r.node}
		in.StaticPods = map[string][]staticpod.Pod{r.node.Name: pods}
	}
	config, err := osc.Build(in)
	if err != nil {
		return err
	}
	r.config(config.Spec)
	return nil
}

func (r *rendering) config(spec extensionsv1alpha1.OperatingSystemConfigSpec) {
	for _, file := range spec.Files {
		if file.Content.ImageRef != nil {
			r.host = append(r.host, file.Content.ImageRef.Image)
		}
	}
	if cri := spec.CRIConfig; cri != nil && cri.Containerd != nil {
		r.pod = append(r.pod, cri.Containerd.SandboxImage)
	}
}

// images names what was found. An image that is run as well is imported, which serves for its files too.
func (r *rendering) images() ([]Image, error) {
	uses := map[string]bundle.Use{}
	for _, found := range []struct {
		references []string
		use        bundle.Use
	}{{r.host, bundle.UseHost}, {r.pod, bundle.UsePod}} {
		for _, reference := range found.references {
			name, ok := r.names[reference]
			if !ok {
				return nil, fmt.Errorf("%q is not of the image vector", reference)
			}
			uses[name] = found.use
		}
	}
	var out []Image
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		out = append(out, Image{Name: name, Use: uses[name]})
	}
	return out, nil
}
