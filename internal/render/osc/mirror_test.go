package osc_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

func TestMirrorUnit(t *testing.T) {
	golden.Equal(t, "testdata/image-mirror.service", []byte(*unit(t, build(t, input(t)), layout.UnitMirror).Content))
	for _, one := range build(t, asWorker(input(t))).Spec.Units {
		if one.Name == layout.UnitMirror {
			t.Error("a worker serves images")
		}
	}
}

func asWorker(in osc.Input) osc.Input {
	in.Pool = cluster.Pool{Name: "workers", Worker: gardencore.Worker{Name: "workers"}}
	in.Nodes, in.StaticPods = nil, nil
	return in
}

// withSecond has two control plane nodes.
func withSecond(in osc.Input) osc.Input {
	second := in.Nodes[0]
	second.Name, second.Addresses = "second", []netip.Addr{netip.MustParseAddr("10.250.0.2")}
	in.Nodes = append(in.Nodes, second)
	in.ControlPlane = in.Nodes
	for _, spec := range osc.Secrets(in.Cluster, in.Nodes) {
		if _, ok := in.Secrets[spec.Key()]; !ok {
			in.Secrets[spec.Key()] = in.Secrets[osc.Secrets(in.Cluster, nil)[0].Key()]
		}
	}
	return in
}

// TestWhoIsAskedForImages shows the files for all registries, and for one that the Shoot says something about.
func TestWhoIsAskedForImages(t *testing.T) {
	const named = "registries: [{upstream: docker.io, mirrors: [{url: https://mirror.example}]}, {upstream: quay.io}]\n"
	var out strings.Builder
	for _, one := range []struct {
		name string
		in   osc.Input
	}{
		{"control plane", withSecond(withAccess(t, named))},
		{"worker", asWorker(withSecond(withAccess(t, named)))},
		{"worker, not strict", asWorker(withSecond(withAccess(t, "strict: false")))},
		{"worker, with an entry for all", asWorker(withAccess(t, "registries: [{upstream: _default, mirrors: [{url: https://mirror.example}]}]"))},
	} {
		fmt.Fprintf(&out, "##### %s\n", one.name)
		for _, file := range build(t, one.in).Spec.Files {
			if strings.HasPrefix(file.Path, layout.DirRegistryHosts) {
				fmt.Fprintf(&out, "=== %s%s\n%s", strings.TrimPrefix(file.Path, layout.DirRegistryHosts+"/"), onHost(file), contentOf(t, file))
			}
		}
	}
	golden.Equal(t, "testdata/registries.txt", []byte(out.String()))
}

func onHost(file extensionsv1alpha1.File) string {
	if file.HostName == nil {
		return ""
	}
	return " on " + *file.HostName
}

// TestWithoutControlPlane: a file without any server would say that every image is missing.
func TestWithoutControlPlane(t *testing.T) {
	in := asWorker(input(t))
	in.ControlPlane = nil
	for _, file := range build(t, in).Spec.Files {
		if file.Path == registry.File(cluster.UpstreamDefault) {
			t.Errorf("there is %s: %s", file.Path, contentOf(t, file))
		}
	}
}

func TestImagesOfANode(t *testing.T) {
	in := input(t)
	in.Images[image.Pause] = "registry.example/pause:1@sha256:" + strings.Repeat("a", 64)
	in.StaticPods["first"][0].Manifest = []byte("kind: Pod\nspec: {containers: [{image: registry.example/etcd:1}]}\n")
	running := func(image string) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}
	}
	in.Objects = []component.Object{
		&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: running("registry.example/dns:1")}},
		&appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: running("registry.example/network:1")}},
		&appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Template: running("registry.example/network:1")}},
		&corev1.ConfigMap{Data: map[string]string{"image": "registry.example/none:1"}},
	}
	golden.Equal(t, "testdata/images-control-plane.json", content(t, build(t, in), layout.FileImages))
	golden.Equal(t, "testdata/images-worker.json", content(t, build(t, asWorker(in)), layout.FileImages))

	in.Images[image.Runc] = "no reference"
	if _, err := osc.Build(in); err == nil || !strings.Contains(err.Error(), `list images: read image name "no reference"`) {
		t.Errorf("got error %v", err)
	}
}
