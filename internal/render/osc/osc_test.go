package osc_test

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func TestGolden(t *testing.T) {
	full := build(t, input(t))
	golden.Equal(t, "testdata/osc.yaml", golden.YAML(t, full))
	golden.Equal(t, "testdata/outline.txt", []byte(outline(full)))
	// What people review is not in base64.
	golden.Equal(t, "testdata/kubelet.yaml", content(t, full, layout.FileKubeletConfig))
	golden.Equal(t, "testdata/kubelet.service", []byte(*unit(t, full, layout.UnitKubelet).Content))
	golden.Equal(t, "testdata/containerd.toml", content(t, full, layout.FileContainerdConf))
	golden.Equal(t, "testdata/containerd.service", []byte(*unit(t, full, layout.UnitContainerd).Content))
	golden.Equal(t, "testdata/admin.conf", content(t, full, layout.FileAdminKubeconfig))
}

func TestBuildIsDeterministic(t *testing.T) {
	want := string(golden.YAML(t, build(t, input(t))))
	for range 5 {
		if got := string(golden.YAML(t, build(t, input(t)))); got != want {
			t.Fatal("two builds of the same input differ")
		}
	}
}

func TestWorkerPool(t *testing.T) {
	in := input(t)
	in.Pool = cluster.Pool{Name: "workers", Worker: gardencore.Worker{Name: "workers"}}
	in.Nodes, in.StaticPods = nil, nil
	worker := build(t, in)
	for _, file := range worker.Spec.Files {
		if strings.HasPrefix(file.Path, "/etc/kubernetes") || file.Path == layout.FileKubectl || file.Path == layout.FileEtcdData {
			t.Errorf("a worker gets %s", file.Path)
		}
	}
	config := kubeletConfig(t, worker)
	if config.StaticPodPath != "" || config.CrashLoopBackOff.MaxContainerRestartPeriod != nil {
		t.Error("a worker's kubelet is configured for static pods")
	}
	if taints := config.RegisterWithTaints; len(taints) != 1 || taints[0].Key != "node.gardener.cloud/critical-components-not-ready" {
		t.Errorf("a worker has taints %v", taints)
	}
}

func TestTaints(t *testing.T) {
	const controlPlane, critical = "node-role.kubernetes.io/control-plane", "node.gardener.cloud/critical-components-not-ready"
	tests := map[string]struct {
		change func(*osc.Input)
		want   []string
	}{
		"shared":    {func(*osc.Input) {}, []string{critical}},
		"dedicated": {func(in *osc.Input) { in.Cluster.Shoot.Annotations = nil }, []string{controlPlane, critical}},
		"own and listed already": {func(in *osc.Input) {
			in.Cluster.Shoot.Annotations = nil
			in.Pool.Worker.Taints = append(in.Pool.Worker.Taints, taint("own"), taint(controlPlane))
		}, []string{"own", controlPlane, critical}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(t)
			test.change(&in)
			var got []string
			for _, taint := range kubeletConfig(t, build(t, in)).RegisterWithTaints {
				got = append(got, taint.Key)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got taints %v, want %v", got, test.want)
			}
		})
	}
}

func TestLabels(t *testing.T) {
	in := input(t)
	in.Pool.Worker.Labels = map[string]string{
		"example.com/mine": "yes", "plain": "yes", "node.kubernetes.io/mine": "yes",
		"node-role.kubernetes.io/worker": "", "node-restriction.kubernetes.io/mine": "no", "mine.k8s.io/x": "no",
		"worker.gardener.cloud/pool": "other",
	}
	text := *unit(t, build(t, in), layout.UnitKubelet).Content
	for _, want := range []string{
		"example.com/mine=yes", "plain=yes", "node.kubernetes.io/mine=yes", "worker.gardener.cloud/pool=control-plane \\",
		"worker.garden.sapcloud.io/group=control-plane", "worker.gardener.cloud/cri-name=containerd",
	} {
		if !strings.Contains(text, "--node-labels="+want) {
			t.Errorf("label %s is missing", want)
		}
	}
	for _, refused := range []string{"node-role", "node-restriction", "mine.k8s.io"} {
		if strings.Contains(text, refused) {
			t.Errorf("kubelet would not start with label %s", refused)
		}
	}
	first := strings.Index(text, "--node-labels=worker.gardener.cloud/kubernetes-version="+manifest.KubernetesVersion)
	if first < 0 || first != strings.Index(text, "--node-labels=") {
		t.Error("the first label is not the Kubernetes version")
	}
}

// A pool that had such a label would lose it silently.
func TestNoPoolHasALabelOfOurs(t *testing.T) {
	in := input(t)
	in.Pool.Worker.Machine.Architecture = new("amd64")
	for _, pool := range []cluster.Pool{in.Pool, {Name: "workers"}} {
		labels, err := osc.NodeLabels(in.Cluster, pool)
		if err != nil || len(labels) == 0 {
			t.Fatal(labels, err)
		}
		for key := range labels {
			if cluster.OwnerOfLabel(key) == "" {
				t.Errorf("%s passes as a pool's own label", key)
			}
		}
	}
}

func TestUserWishes(t *testing.T) {
	in := input(t)
	in.Pool.Worker.Sysctls = map[string]string{"vm/max_map_count": "1000000", "net.core.somaxconn": "4096"}
	in.Pool.Worker.Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{
		MaxPods:      new(int32(250)),
		EvictionHard: &gardencore.KubeletConfigEviction{MemoryAvailable: new("1Gi")},
		KubeReserved: &gardencore.KubeletConfigReserved{CPU: new(resource.MustParse("80m"))},
		FailSwapOn:   new(false),
	}}
	full := build(t, in)
	config := kubeletConfig(t, full)
	if config.MaxPods != 250 || config.EvictionHard["memory.available"] != "1Gi" || config.EvictionHard["nodefs.available"] != "5%" ||
		config.KubeReserved["cpu"] != "80m" || len(config.KubeReserved) != 1 || *config.FailSwapOn {
		t.Errorf("kubelet: %+v", config)
	}
	sysctl := "\n" + string(content(t, full, layout.FileSysctl))
	for want, count := range map[string]int{"\nvm.max_map_count = 1000000\n": 1, "\nnet.core.somaxconn = 4096\n": 1, "vm.max_map_count": 1} {
		if strings.Count(sysctl, want) != count {
			t.Errorf("%q is not there once:\n%s", want, sysctl)
		}
	}
}

func TestKey(t *testing.T) {
	key := func(change func(*cluster.Cluster, *gardencore.Worker)) string {
		in := input(t)
		in.Cluster.Shoot.Spec.CredentialsBindingName = new("credentials")
		change(in.Cluster, &in.Pool.Worker)
		got, err := osc.Key(in.Cluster, in.Pool)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := key(func(*cluster.Cluster, *gardencore.Worker) {})
	for name, change := range map[string]func(*cluster.Cluster, *gardencore.Worker){
		"patch version": func(c *cluster.Cluster, _ *gardencore.Worker) { c.Shoot.Spec.Kubernetes.Version = "1.36.9" },
		"labels":        func(_ *cluster.Cluster, w *gardencore.Worker) { w.Labels = map[string]string{"a": "b"} },
	} {
		if key(change) != same {
			t.Errorf("%s changes the key", name)
		}
	}
	for name, change := range map[string]func(*cluster.Cluster, *gardencore.Worker){
		"minor version": func(c *cluster.Cluster, _ *gardencore.Worker) { c.Shoot.Spec.Kubernetes.Version = "1.37.0" },
		"machine type":  func(_ *cluster.Cluster, w *gardencore.Worker) { w.Machine.Type = "large" },
		"volume":        func(_ *cluster.Cluster, w *gardencore.Worker) { w.Volume = &gardencore.Volume{VolumeSize: "50Gi"} },
		"reservation": func(c *cluster.Cluster, _ *gardencore.Worker) {
			c.Shoot.Spec.Kubernetes.Kubelet = &gardencore.KubeletConfig{KubeReserved: &gardencore.KubeletConfigReserved{}}
		},
	} {
		if key(change) == same {
			t.Errorf("%s does not change the key", name)
		}
	}
	inPlace := gardencore.AutoInPlaceUpdate
	if got := key(func(_ *cluster.Cluster, w *gardencore.Worker) { w.UpdateStrategy = &inPlace }); got != "gardener-node-agent-control-plane" {
		t.Errorf("in-place pool has key %s", got)
	}
	if got := key(func(c *cluster.Cluster, _ *gardencore.Worker) { c.Shoot.Spec.CredentialsBindingName = nil }); got != "gardener-node-agent-control-plane" {
		t.Errorf("a pool of machines that people bring has key %s", got)
	}
}

func TestStaticPodsOfTwoNodes(t *testing.T) {
	in := input(t)
	other := in.Nodes[0]
	other.Name = "second"
	in.Nodes = append(in.Nodes, other)
	in.StaticPods["second"] = in.StaticPods["first"]
	hosts := map[string][]string{}
	for _, file := range build(t, in).Spec.Files {
		if file.HostName != nil {
			hosts[file.Path] = append(hosts[file.Path], *file.HostName)
		}
	}
	for path, got := range hosts {
		if !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("%s is for %v", path, got)
		}
	}
	if len(hosts) != 5 {
		t.Errorf("want a manifest, its file, a certificate with its key, and the mirrors, got %v", hosts)
	}
}

func TestBuildErrors(t *testing.T) {
	tests := map[string]struct {
		change func(*osc.Input)
		want   string
	}{
		"missing image":  {func(in *osc.Input) { delete(in.Images, image.Runc) }, `containerd: find image "runc"`},
		"missing secret": {func(in *osc.Input) { delete(in.Secrets, secret.Admin().Name) }, "admin: find secret admin"},
		"foreign node":   {func(in *osc.Input) { in.StaticPods["stranger"] = nil }, "node stranger"},
		"same pod twice": {func(in *osc.Input) {
			in.StaticPods["first"] = append(in.StaticPods["first"], in.StaticPods["first"]...)
		}, "declared twice"},
		"file of a topic": {func(in *osc.Input) {
			in.StaticPods["first"][0].Files[0].Path = layout.FileKubeletConfig
		}, layout.FileKubeletConfig + " is declared twice"},
		"version": {func(in *osc.Input) {
			in.Cluster.Shoot.Spec.CredentialsBindingName = new("credentials")
			in.Cluster.Shoot.Spec.Kubernetes.Version = "new"
		}, "version of pool control-plane"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := input(t)
			test.change(&in)
			_, err := osc.Build(in)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

// input is the built-in cluster with one node and one static pod.
func input(t *testing.T) osc.Input {
	t.Helper()
	c, err := cluster.New(manifest.Builtin(netip.MustParsePrefix("10.250.0.0/16")), "00000000-0000-4000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	secrets := secret.Set{}
	nodes := []cluster.Node{{Name: "first", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.1")}, Pool: c.ControlPlane.Name}}
	for _, spec := range osc.Secrets(c, nodes) {
		secrets[spec.Key()] = secret.Secret{Spec: spec, Data: map[string][]byte{
			secret.DataCACert: []byte("certificate of " + spec.Name), secret.DataCert: []byte("certificate of " + spec.Name), secret.DataKey: []byte("key of " + spec.Name),
		}}
	}
	images := image.Vector{}
	for _, name := range []string{image.Hyperkube, image.Containerd, image.Runc, image.CNIPlugins, image.Etcd, image.Pause} {
		images[name] = "registry.example/" + name + ":1"
	}
	return osc.Input{
		Cluster: c, Pool: c.ControlPlane, Images: images, Secrets: secrets,
		Nodes: nodes, ControlPlane: nodes,
		StaticPods: map[string][]staticpod.Pod{"first": {{
			Name: "kube-apiserver", Hash: "hash", Manifest: []byte("kind: Pod\n"),
			Files: []staticpod.File{{Path: layout.DirStaticPods + "/kube-apiserver/ca/bundle.crt", Mode: 0o640, Data: []byte("certificate")}},
		}}},
	}
}

func build(t *testing.T, in osc.Input) *extensionsv1alpha1.OperatingSystemConfig {
	t.Helper()
	out, err := osc.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unit(t *testing.T, full *extensionsv1alpha1.OperatingSystemConfig, name string) extensionsv1alpha1.Unit {
	t.Helper()
	for _, unit := range full.Spec.Units {
		if unit.Name == name {
			return unit
		}
	}
	t.Fatalf("no unit %s", name)
	return extensionsv1alpha1.Unit{}
}

func content(t *testing.T, full *extensionsv1alpha1.OperatingSystemConfig, path string) []byte {
	t.Helper()
	for _, file := range full.Spec.Files {
		if file.Path == path {
			return contentOf(t, file)
		}
	}
	t.Fatalf("no file %s", path)
	return nil
}

func contentOf(t *testing.T, file extensionsv1alpha1.File) []byte {
	t.Helper()
	if file.Content.Inline.Encoding == "" {
		return []byte(file.Content.Inline.Data)
	}
	out, err := base64.StdEncoding.DecodeString(file.Content.Inline.Data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kubeletConfig(t *testing.T, full *extensionsv1alpha1.OperatingSystemConfig) kubeletv1beta1.KubeletConfiguration {
	t.Helper()
	var out kubeletv1beta1.KubeletConfiguration
	if err := yaml.UnmarshalStrict(content(t, full, layout.FileKubeletConfig), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func outline(full *extensionsv1alpha1.OperatingSystemConfig) string {
	var out strings.Builder
	for _, unit := range full.Spec.Units {
		fmt.Fprintln(&out, "unit", unit.Name)
	}
	for _, file := range full.Spec.Files {
		fmt.Fprintln(&out, "file", file.Path)
	}
	return out.String()
}

func taint(key string) corev1.Taint {
	return corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}
}
