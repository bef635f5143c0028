package pool

import (
	"slices"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func input(t *testing.T) component.Input {
	t.Helper()
	c := componenttest.Cluster(t)
	specs, err := Secrets(c, []cluster.Node{componenttest.Node()})
	if err != nil {
		t.Fatal(err)
	}
	in := componenttest.Input(c, specs)
	for _, name := range []string{image.Hyperkube, image.Containerd, image.Runc, image.CNIPlugins, image.Pause} {
		in.Images[name] = "registry.test/" + name + ":v0"
	}
	return in
}

func hasStaticPods(config *extensionsv1alpha1.OperatingSystemConfig) bool {
	return slices.ContainsFunc(config.Spec.Files, func(file extensionsv1alpha1.File) bool {
		return strings.HasSuffix(file.Path, "/manifests/kube-apiserver.yaml")
	})
}

func TestConfig(t *testing.T) {
	in := input(t)
	config, err := Config(in, []cluster.Node{componenttest.Node()}, in.Cluster.ControlPlane)
	if err != nil || !hasStaticPods(config) {
		t.Errorf("control plane: %v, or no static pods", err)
	}
	for _, key := range in.Secrets.Keys() { // workers need no key of the control plane
		if !slices.ContainsFunc(osc.Secrets(in.Cluster, nil), func(spec secret.Spec) bool { return spec.Key() == key }) {
			delete(in.Secrets, key)
		}
	}
	config, err = Config(in, nil, cluster.Pool{Name: "workers"})
	if err != nil || hasStaticPods(config) {
		t.Errorf("workers: %v, or static pods", err)
	}
}

func TestEverySecretOfTheNodesIsNeeded(t *testing.T) {
	specs, err := catalog.Secrets(input(t).Cluster, []cluster.Node{componenttest.Node()})
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		in := input(t)
		delete(in.Secrets, spec.Key())
		_, err := Config(in, []cluster.Node{componenttest.Node()}, in.Cluster.ControlPlane)
		if err == nil || !strings.Contains(err.Error(), "find secret "+spec.Key()+": it was not issued") {
			t.Errorf("without %s: %v", spec.Key(), err)
		}
	}
}
