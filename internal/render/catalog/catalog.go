// Package catalog turns a cluster into all that it consists of: the one ordered list of components, and what they render together.
// Used by the sequences, by render/osc for the static pods and by bundle for the images.
package catalog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/apiserver"
	"github.com/gardenadm/gardenadm/internal/render/component/controllermanager"
	"github.com/gardenadm/gardenadm/internal/render/component/coredns"
	"github.com/gardenadm/gardenadm/internal/render/component/etcd"
	"github.com/gardenadm/gardenadm/internal/render/component/flannel"
	"github.com/gardenadm/gardenadm/internal/render/component/kubeproxy"
	"github.com/gardenadm/gardenadm/internal/render/component/metricsserver"
	"github.com/gardenadm/gardenadm/internal/render/component/nodeaccess"
	"github.com/gardenadm/gardenadm/internal/render/component/scheduler"
	"github.com/gardenadm/gardenadm/internal/render/component/system"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// All lists the components in the order in which they are applied.
func All() []component.Component {
	return []component.Component{
		etcd.New(),
		apiserver.New(),
		controllermanager.New(),
		scheduler.New(),
		system.New(),
		nodeaccess.New(),
		kubeproxy.New(),
		flannel.New(),
		coredns.New(),
		metricsserver.New(),
	}
}

// Wanted lists the components that the cluster has.
func Wanted(c *cluster.Cluster) []component.Component {
	var out []component.Component
	for _, part := range All() {
		if part.Wanted == nil || part.Wanted(c) {
			out = append(out, part)
		}
	}
	return out
}

// Check refuses what the user's manifests refer to and a component could not use, before anything is changed.
// The error is as that of cluster.New, and lists everything.
func Check(c *cluster.Cluster) error {
	var problems manifest.Problems
	for _, part := range Wanted(c) {
		if part.Check != nil {
			problems = append(problems, problemsOf(c, part.Check(c))...)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fault.New(fault.BadManifest, "check manifests: %w", problems)
}

// problemsOf takes an error of a component apart. Each is one of the Shoot, whose field it names first.
func problemsOf(c *cluster.Cluster, err error) manifest.Problems {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out manifest.Problems
		for _, one := range joined.Unwrap() {
			out = append(out, problemsOf(c, one)...)
		}
		return out
	}
	message := err.Error()
	if known := (*fault.Error)(nil); errors.As(err, &known) {
		message = known.Cause.Error() // the fault around all has the code
	}
	return manifest.Problems{{
		Origin: c.Manifests.Origins[c.Manifests.Shoot], Object: fmt.Sprintf("Shoot %s/%s", c.Shoot.Namespace, c.Shoot.Name), Message: message,
	}}
}

// Secrets lists what the components read and the authorities that sign it, sorted by key.
// Two components may share a secret; two different ones of one key are an error.
func Secrets(c *cluster.Cluster, nodes []cluster.Node) ([]secret.Spec, error) {
	var lists [][]secret.Spec
	for _, part := range Wanted(c) {
		specs := declared(part, c, nodes)
		lists = append(lists, specs)
		for _, spec := range specs {
			if spec.Signer != "" {
				lists = append(lists, []secret.Spec{secret.Authority(spec.Signer)})
			}
		}
	}
	return secret.Merge(lists...)
}

// StaticPods renders the control plane of one node, in the catalog's order.
func StaticPods(in component.Input, node cluster.Node) ([]staticpod.Pod, error) {
	var out []staticpod.Pod
	for _, part := range Wanted(in.Cluster) {
		if part.Host == nil {
			continue
		}
		workload, err := part.Host(confine(in, part, node), node)
		if err != nil {
			return nil, err
		}
		pod, err := staticpod.Translate(workload)
		if err != nil {
			return nil, err
		}
		out = append(out, pod)
	}
	return out, nil
}

// Objects renders all objects in the cluster, in the order in which they are applied.
func Objects(in component.Input) ([]component.Object, error) {
	var out []component.Object
	for _, part := range All() {
		objects, err := ObjectsOf(part, in)
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

// ObjectsOf renders the objects of one component, none when the cluster does not have it.
func ObjectsOf(part component.Component, in component.Input) ([]component.Object, error) {
	if part.Objects == nil || part.Wanted != nil && !part.Wanted(in.Cluster) {
		return nil, nil
	}
	return part.Objects(confine(in, part))
}

// Images lists the names of the images that the cluster's components run, sorted. Those from which the host's programs are taken,
// and the sandbox's, belong to the operating system configuration.
func Images(c *cluster.Cluster) []string {
	var out []string
	for _, part := range Wanted(c) {
		out = append(out, part.Images...)
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// confine leaves in the input only the secrets that the component declared.
func confine(in component.Input, part component.Component, nodes ...cluster.Node) component.Input {
	in.Secrets = in.Secrets.Select(declared(part, in.Cluster, nodes))
	return in
}

func declared(part component.Component, c *cluster.Cluster, nodes []cluster.Node) []secret.Spec {
	if part.Secrets == nil {
		return nil
	}
	return part.Secrets(c, nodes)
}
