// Package osc turns a worker pool and its static pods into an OperatingSystemConfig: the files and units of a node.
// Used by Boot, which applies it on this machine, and by Reconcile, which hands it to the node agents; one file per topic.
package osc

import (
	"fmt"
	"slices"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Input is all that an OperatingSystemConfig depends on.
type Input struct {
	Cluster *cluster.Cluster
	Pool    cluster.Pool
	Images  image.Vector
	Secrets secret.Set
	// Nodes are those of this pool; ControlPlane are the control plane's, whatever the pool.
	Nodes        []cluster.Node
	ControlPlane []cluster.Node
	// StaticPods are the pods of each node, by the node's name.
	StaticPods map[string][]staticpod.Pod
	// Objects are those in the cluster; a node keeps the images that their pods run.
	Objects []component.Object
}

type (
	unit = extensionsv1alpha1.Unit
	file = extensionsv1alpha1.File
)

// topic is one concern of a node. It reads only those secrets that it declares.
type topic struct {
	name    string
	secrets func(c *cluster.Cluster, controlPlane []cluster.Node) []secret.Spec // nil for none
	build   func(Input) ([]unit, []file, error)
}

// topics lists them in the order in which their units are started.
func topics() []topic {
	return []topic{
		{name: "kernel", build: kernel},
		{name: "journald", build: journald},
		{name: "network", build: network},
		{name: "endpoint proxy", secrets: endpointProxySecrets, build: endpointProxy},
		{name: "containerd", build: containerd},
		{name: "registries", build: registries},
		{name: "kubelet", secrets: kubeletSecrets, build: kubelet},
		{name: "admin", secrets: adminSecrets, build: admin},
		{name: "static pods", build: staticPods},
		{name: "authorities", secrets: authoritySecrets, build: authorities},
		{name: "serving certificate", secrets: servingSecrets, build: serving},
		{name: "mirror", build: mirror},
		{name: "gardenlet", secrets: gardenletSecrets, build: gardenlet},
		{name: "node agent", build: nodeAgent},
	}
}

// Secrets declares what the topics read, each secret once.
func Secrets(c *cluster.Cluster, controlPlane []cluster.Node) []secret.Spec {
	var out []secret.Spec
	for _, topic := range topics() {
		for _, spec := range topic.wants(c, controlPlane) {
			if !slices.ContainsFunc(out, func(other secret.Spec) bool { return other.Key() == spec.Key() }) {
				out = append(out, spec)
			}
		}
	}
	return out
}

func (t topic) wants(c *cluster.Cluster, controlPlane []cluster.Node) []secret.Spec {
	if t.secrets == nil {
		return nil
	}
	return t.secrets(c, controlPlane)
}

// Build returns the pool's OperatingSystemConfig with purpose reconcile (contract node-agent-and-osc §1 and §3).
func Build(in Input) (*extensionsv1alpha1.OperatingSystemConfig, error) {
	out, err := skeleton(in)
	if err != nil {
		return nil, fmt.Errorf("build OperatingSystemConfig of pool %s: %w", in.Pool.Name, err)
	}
	for _, topic := range topics() {
		units, files, err := topic.run(in)
		if err != nil {
			return nil, fmt.Errorf("build OperatingSystemConfig of pool %s: %s: %w", in.Pool.Name, topic.name, err)
		}
		out.Spec.Units = append(out.Spec.Units, units...)
		out.Spec.Files = append(out.Spec.Files, files...)
	}
	list, err := images(in, out.Spec)
	if err != nil {
		return nil, fmt.Errorf("build OperatingSystemConfig of pool %s: list images: %w", in.Pool.Name, err)
	}
	out.Spec.Files = append(out.Spec.Files, list)
	if err := check(out.Spec); err != nil {
		return nil, fmt.Errorf("build OperatingSystemConfig of pool %s: %w", in.Pool.Name, err)
	}
	return out, nil
}

func (t topic) run(in Input) ([]unit, []file, error) {
	specs := t.wants(in.Cluster, in.ControlPlane)
	all := in.Secrets
	in.Secrets = all.Select(specs)
	for _, spec := range specs {
		if _, ok := in.Secrets[spec.Key()]; !ok {
			return nil, nil, fmt.Errorf("find secret %s: it was not issued", spec.Key())
		}
	}
	return t.build(in)
}

func skeleton(in Input) (*extensionsv1alpha1.OperatingSystemConfig, error) {
	key, err := Key(in.Cluster, in.Pool)
	if err != nil {
		return nil, err
	}
	sandbox, err := in.Images.Reference(image.Pause)
	if err != nil {
		return nil, err
	}
	out := &extensionsv1alpha1.OperatingSystemConfig{
		TypeMeta: metav1.TypeMeta{APIVersion: extensionsv1alpha1.SchemeGroupVersion.String(), Kind: extensionsv1alpha1.OperatingSystemConfigResource},
		ObjectMeta: metav1.ObjectMeta{
			Name:      key + "-original",
			Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{
				constants.LabelWorkerPool: in.Pool.Name,
				// Providers' webhooks select on it (contract node-agent-and-osc §1.3).
				constants.LabelExtensionProviderMutatedByControlplaneWebhook: "true",
			},
		},
		Spec: extensionsv1alpha1.OperatingSystemConfigSpec{
			Purpose: extensionsv1alpha1.OperatingSystemConfigPurposeReconcile,
			CRIConfig: &extensionsv1alpha1.CRIConfig{
				Name:         extensionsv1alpha1.CRINameContainerD,
				CgroupDriver: new(extensionsv1alpha1.CgroupDriverSystemd),
				Containerd:   &extensionsv1alpha1.ContainerdConfig{SandboxImage: sandbox},
			},
		},
	}
	if machine := in.Pool.Worker.Machine.Image; machine != nil {
		out.Spec.Type = machine.Name
		out.Spec.ProviderConfig = machine.ProviderConfig
	}
	return out, nil
}
