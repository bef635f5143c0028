// Package pool turns a worker pool and its nodes into their whole OperatingSystemConfig, static pods included.
// Used by Boot for this machine's pool, and by the gardenlet for all pools.
package pool

import (
	"fmt"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Config renders the configuration of the pool. controlPlane are the nodes of the control plane. A secret that was
// not issued would become an empty file: it is an error that names it.
func Config(in component.Input, controlPlane []cluster.Node, of cluster.Pool) (*extensionsv1alpha1.OperatingSystemConfig, error) {
	var nodes []cluster.Node
	if of.ControlPlane {
		nodes = controlPlane
	}
	if err := issued(in, nodes); err != nil {
		return nil, err
	}
	pods := map[string][]staticpod.Pod{}
	for _, node := range nodes {
		of, err := catalog.StaticPods(in, node)
		if err != nil {
			return nil, fmt.Errorf("render control plane of %s: %w", node.Name, err)
		}
		pods[node.Name] = of
	}
	objects, err := objects(in)
	if err != nil {
		return nil, fmt.Errorf("find the images of the node: %w", err)
	}
	config, err := osc.Build(osc.Input{
		Cluster: in.Cluster, Pool: of, Images: in.Images, Secrets: in.Secrets, Nodes: nodes, ControlPlane: controlPlane, StaticPods: pods, Objects: objects,
	})
	if err != nil {
		return nil, fmt.Errorf("render node configuration: %w", err)
	}
	return config, nil
}

// objects renders what is in the cluster, to see which images it runs. That takes no secrets of a pool that has none.
func objects(in component.Input) ([]component.Object, error) {
	specs, err := catalog.Secrets(in.Cluster, nil)
	if err != nil {
		return nil, err
	}
	in.Secrets = secret.Placeholders(specs)
	return catalog.Objects(in)
}

// Secrets declares all that the components and the nodes of the cluster read, each secret once, sorted by key.
func Secrets(c *cluster.Cluster, controlPlane []cluster.Node) ([]secret.Spec, error) {
	specs, err := catalog.Secrets(c, controlPlane)
	if err != nil {
		return nil, err
	}
	return secret.Merge(specs, osc.Secrets(c, controlPlane))
}

// issued is nil when there are all secrets that the nodes' static pods read.
func issued(in component.Input, nodes []cluster.Node) error {
	if len(nodes) == 0 {
		return nil
	}
	specs, err := Secrets(in.Cluster, nodes)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		if _, ok := in.Secrets[spec.Key()]; !ok {
			return fmt.Errorf("find secret %s: it was not issued", spec.Key())
		}
	}
	return nil
}
