package cluster_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// bare is the built-in set whose Shoot says only what it must.
func bare() manifest.Set {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Spec.Kubernetes = gardencore.Kubernetes{Version: manifest.KubernetesVersion}
	set.Shoot.Spec.Maintenance = nil
	set.Shoot.Spec.Networking.IPFamilies = nil
	pool := &set.Shoot.Spec.Provider.Workers[0]
	pool.MaxSurge, pool.MaxUnavailable, pool.SystemComponents = nil, nil, nil
	// A pool's own settings replace the cluster's.
	pool.Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{}}
	return set
}

// TestOurDefaults is the whole list of what is set by us and otherwise by Gardener, or by Gardener's gardenlet where its API says nothing.
func TestOurDefaults(t *testing.T) {
	theirs := bare().Shoot.DeepCopy()
	theirs.Spec.Maintenance = &gardencore.Maintenance{TimeWindow: &gardencore.MaintenanceTimeWindow{Begin: "drawn", End: "by lot"}}
	gardencore.SetObjectDefaults_Shoot(theirs)
	ours := flat(t, create(t, bare()).Shoot.Spec)
	got := map[string]string{}
	for path, value := range ours {
		if other := flat(t, theirs.Spec)[path]; other != value {
			got[path] = value
		}
	}
	want := map[string]string{
		"maintenance.autoUpdate.kubernetesVersion":                            "false",
		"maintenance.autoUpdate.machineImageVersion":                          "false",
		"maintenance.timeWindow.begin":                                        "220000+0000",
		"maintenance.timeWindow.end":                                          "230000+0000",
		"kubernetes.kubeProxy.mode":                                           "NFTables",
		"kubernetes.kubeAPIServer.auditConfig.auditPolicy.configMapRef.name":  cluster.AuditPolicyName,
		"kubernetes.kubeControllerManager.horizontalPodAutoscaler.syncPeriod": "15s",
	}
	for _, kubelet := range []string{"kubernetes.kubelet.", "provider.workers.0.kubernetes.kubelet."} {
		maps.Copy(want, map[string]string{
			kubelet + "containerLogMaxSize":            "10Mi",
			kubelet + "imageGCHighThresholdPercent":    "85",
			kubelet + "imageGCLowThresholdPercent":     "80",
			kubelet + "protectKernelDefaults":          "false",
			kubelet + "seccompDefault":                 "true",
			kubelet + "streamingConnectionIdleTimeout": "4h0m0s",
			kubelet + "kubeReserved.cpu":               "0",
			kubelet + "kubeReserved.memory":            "0",
			kubelet + "kubeReserved.pid":               "0",
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for path := range flat(t, theirs.Spec) {
		if _, kept := ours[path]; !kept {
			t.Errorf("%s is a default of Gardener's and missing in ours", path)
		}
	}
}

// TestWishesBeatDefaults: what the Shoot says stays, and of what Gardener defaults as a pair nothing is mixed.
func TestWishesBeatDefaults(t *testing.T) {
	set := bare()
	set.Shoot.Spec.Maintenance = &gardencore.Maintenance{AutoUpdate: &gardencore.MaintenanceAutoUpdate{KubernetesVersion: true}}
	set.Shoot.Spec.Kubernetes.Kubelet = &gardencore.KubeletConfig{ImageGCHighThresholdPercent: ptr.To[int32](70), SeccompDefault: ptr.To(false)}
	got := flat(t, create(t, set).Shoot.Spec)
	for path, want := range map[string]string{
		"maintenance.autoUpdate.kubernetesVersion":       "true",
		"kubernetes.kubelet.imageGCHighThresholdPercent": "70",
		"kubernetes.kubelet.imageGCLowThresholdPercent":  "40",
		"kubernetes.kubelet.seccompDefault":              "false",
	} {
		if got[path] != want {
			t.Errorf("%s: got %s, want %s", path, got[path], want)
		}
	}
}

// TestDefaultsAreStable: the Shoot of a cluster gives the same cluster, also after a garden kept it.
func TestDefaultsAreStable(t *testing.T) {
	for name, set := range map[string]manifest.Set{"built-in": manifest.Builtin(manifest.DefaultNodes()), "bare": bare()} {
		t.Run(name, func(t *testing.T) {
			first := create(t, set).Shoot
			again := set
			again.Shoot = throughGarden(t, first)
			if diff := cmp.Diff(text(t, first), text(t, create(t, again).Shoot)); diff != "" {
				t.Errorf("-first +again:\n%s", diff)
			}
		})
	}
}

// throughGarden writes, reads and defaults a Shoot as a garden does.
func throughGarden(t *testing.T, shoot *gardencore.Shoot) *gardencore.Shoot {
	t.Helper()
	out := &gardencore.Shoot{}
	if err := yaml.Unmarshal([]byte(text(t, shoot)), out); err != nil {
		t.Fatal(err)
	}
	gardencore.SetObjectDefaults_Shoot(out)
	return out
}

// FuzzNew: no Shoot that can be read makes New panic, and one that passes stays what it is.
func FuzzNew(f *testing.F) {
	for _, set := range []manifest.Set{manifest.Builtin(manifest.DefaultNodes()), bare()} {
		raw, err := json.Marshal(set.Shoot)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"spec":{"networking":{"ipFamilies":["IPv6","IPv4"]},"provider":{"workers":[{"controlPlane":{"exposure":{"extension":{}}}},{}]}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set := manifest.Builtin(manifest.DefaultNodes())
		set.Shoot = &gardencore.Shoot{}
		if yaml.Unmarshal(raw, set.Shoot) != nil {
			return
		}
		c, err := cluster.New(set, "uid")
		if err != nil {
			return
		}
		set.Shoot = c.Shoot
		if got, want := text(t, create(t, set).Shoot), text(t, c.Shoot); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	})
}

func create(t testing.TB, set manifest.Set) *cluster.Cluster {
	t.Helper()
	c, err := cluster.New(set, "uid")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(t testing.TB, object any) string {
	t.Helper()
	raw, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// flat has an entry for every value in an object, by its path.
func flat(t *testing.T, object any) map[string]string {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	flatten(tree, "", out)
	return out
}

func flatten(tree any, path string, out map[string]string) {
	switch tree := tree.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(tree)) {
			flatten(tree[key], join(path, key), out)
		}
	case []any:
		for i, one := range tree {
			flatten(one, join(path, fmt.Sprint(i)), out)
		}
	default:
		out[path] = fmt.Sprint(tree)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
