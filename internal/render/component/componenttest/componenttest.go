// Package componenttest turns a component into golden files and checks what every component promises.
// Used by the tests of the components and of the catalog.
package componenttest

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// Cluster returns the built-in cluster, after the given changes to its Shoot.
func Cluster(t testing.TB, changes ...func(*gardencore.Shoot)) *cluster.Cluster {
	t.Helper()
	set := manifest.Builtin(manifest.DefaultNodes())
	for _, change := range changes {
		change(set.Shoot)
	}
	return ClusterOf(t, set)
}

// MostFields returns the cluster of test/testdata/shoots/most-fields, whose Shoot says something about nearly everything.
func MostFields(t testing.TB) *cluster.Cluster {
	t.Helper()
	set, err := manifest.Read(golden.Inputs(t, "shoots/most-fields"))
	if err != nil {
		t.Fatalf("read manifests: %v", err)
	}
	return ClusterOf(t, set)
}

// ClusterOf returns the cluster that the manifests describe.
func ClusterOf(t testing.TB, set manifest.Set) *cluster.Cluster {
	t.Helper()
	out, err := cluster.New(set, "11111111-2222-3333-4444-555555555555")
	if err != nil {
		t.Fatalf("make cluster: %v", err)
	}
	return out
}

// Node returns a control plane node.
func Node() cluster.Node {
	return cluster.Node{
		Name: "machine-0", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.10")}, Pool: "control-plane", Architecture: "amd64",
	}
}

// Input returns what a component may read: an image for every name, and fake secrets for every given spec.
func Input(c *cluster.Cluster, specs []secret.Spec) component.Input {
	images := image.Vector{}
	for _, name := range []string{
		image.KubeAPIServer, image.KubeControllerManager, image.KubeScheduler, image.KubeProxy, image.Etcd, image.CoreDNS, image.Flannel, image.MetricsServer,
	} {
		images[name] = "registry.test/" + name + ":v0"
	}
	return component.Input{Cluster: c, Images: images, Secrets: Issue(specs)}
}

// Issue returns a set whose data say which key of which secret they are.
func Issue(specs []secret.Spec) secret.Set {
	keys := map[secret.Kind][]string{
		secret.CA:           {secret.DataCACert, secret.DataCAKey},
		secret.Server:       {secret.DataCert, secret.DataKey},
		secret.Client:       {secret.DataCert, secret.DataKey},
		secret.Peer:         {secret.DataCert, secret.DataKey},
		secret.SigningKey:   {secret.DataSigningKey, secret.DataSigningPub},
		secret.SymmetricKey: {secret.DataSymmetric},
	}
	out := secret.Set{}
	for _, spec := range specs {
		data := map[string][]byte{}
		for _, key := range keys[spec.Kind] {
			data[key] = []byte(spec.Key() + " " + key)
		}
		out[spec.Key()] = secret.Secret{Spec: spec, Data: data}
	}
	return out
}

// Golden renders the component for the built-in cluster and compares it with testdata/{secrets,objects,host}.yaml,
// and for MostFields with testdata/most-fields-{objects,host}.yaml.
func Golden(t *testing.T, c component.Component) {
	t.Helper()
	check(t, c, Cluster(t), "testdata/")
	if c.Secrets != nil {
		golden.Equal(t, "testdata/secrets.yaml", golden.YAML(t, c.Secrets(Cluster(t), []cluster.Node{Node()})))
	}
	check(t, c, MostFields(t), "testdata/most-fields-")
}

func check(t *testing.T, c component.Component, of *cluster.Cluster, prefix string) {
	t.Helper()
	var specs []secret.Spec
	if c.Secrets != nil {
		specs = c.Secrets(of, []cluster.Node{Node()})
	}
	if c.Check != nil {
		if err := c.Check(of); err != nil {
			t.Errorf("check %s: %v", c.Name, err)
		}
	}
	in := Input(of, specs)
	var used []string
	if c.Objects != nil {
		objects := Objects(t, c, in)
		used = append(used, imagesOf(objects)...)
		golden.Equal(t, prefix+"objects.yaml", golden.YAML(t, objects...))
		if again := golden.YAML(t, Objects(t, c, in)...); !bytes.Equal(again, golden.YAML(t, objects...)) {
			t.Errorf("objects of %s differ when rendered twice", c.Name)
		}
	}
	if c.Host != nil {
		objects := Host(t, c, in)
		used = append(used, imagesOf(objects)...)
		noEmptyFile(t, objects)
		golden.Equal(t, prefix+"host.yaml", golden.YAML(t, objects...))
		if again := golden.YAML(t, Host(t, c, in)...); !bytes.Equal(again, golden.YAML(t, objects...)) {
			t.Errorf("host workload of %s differs when rendered twice", c.Name)
		}
	}
	declared := references(t, in.Images, c.Images)
	if got := slices.Compact(slices.Sorted(slices.Values(used))); !slices.Equal(got, declared) {
		t.Errorf("%s declares the images %v and runs %v", c.Name, declared, got)
	}
}

// Objects renders the component's objects.
func Objects(t testing.TB, c component.Component, in component.Input) []any {
	t.Helper()
	objects, err := c.Objects(in)
	if err != nil {
		t.Fatalf("render objects of %s: %v", c.Name, err)
	}
	var out []any
	for _, object := range objects {
		if kind := object.GetObjectKind().GroupVersionKind(); kind.Kind == "" || kind.Version == "" {
			t.Errorf("%T %s has no apiVersion and kind", object, object.GetName())
		}
		out = append(out, object)
	}
	return out
}

// Host renders the component's workload on Node, and checks that it can become a static pod.
func Host(t testing.TB, c component.Component, in component.Input) []any {
	t.Helper()
	workload, err := c.Host(in, Node())
	if err != nil {
		t.Fatalf("render host workload of %s: %v", c.Name, err)
	}
	if _, err := staticpod.Translate(workload); err != nil {
		t.Errorf("translate %s: %v", c.Name, err)
	}
	var out []any
	if workload.Deployment != nil {
		out = append(out, workload.Deployment)
	}
	if workload.StatefulSet != nil {
		out = append(out, workload.StatefulSet)
	}
	for _, object := range workload.ConfigMaps {
		out = append(out, object)
	}
	for _, object := range workload.Secrets {
		out = append(out, object)
	}
	return out
}

// noEmptyFile: what a renderer reads and did not declare is an empty file.
func noEmptyFile(t testing.TB, objects []any) {
	t.Helper()
	for _, object := range objects {
		if object, ok := object.(*corev1.Secret); ok {
			for key, value := range object.Data {
				if len(value) == 0 {
					t.Errorf("Secret %s: %s is empty: read but not declared?", object.Name, key)
				}
			}
		}
	}
}

func references(t testing.TB, images image.Vector, names []string) []string {
	t.Helper()
	var out []string
	for _, name := range names {
		ref, err := images.Reference(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ref)
	}
	return slices.Sorted(slices.Values(out))
}

// imagesOf returns the images of all pods in the objects.
func imagesOf(objects []any) []string {
	var out []string
	for _, object := range objects {
		var spec corev1.PodSpec
		switch object := object.(type) {
		case *appsv1.Deployment:
			spec = object.Spec.Template.Spec
		case *appsv1.StatefulSet:
			spec = object.Spec.Template.Spec
		case *appsv1.DaemonSet:
			spec = object.Spec.Template.Spec
		}
		for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
			out = append(out, container.Image)
		}
	}
	return out
}
