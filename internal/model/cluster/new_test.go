package cluster_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

func TestNewFromBuiltin(t *testing.T) {
	set := manifest.Builtin(netip.MustParsePrefix("10.89.0.7/24"))
	before, err := manifest.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(set, "uid-1")
	if err != nil {
		t.Fatal(err)
	}
	after, err := manifest.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("New changed the manifests that it was given")
	}
	for name, got := range map[string]string{
		"uid-1":                         c.UID,
		"uid-1.1":                       c.EtcdToken(),
		"gardenadm":                     c.Shoot.Status.Gardener.Name,
		cluster.GardenerVersion:         c.Shoot.Status.Gardener.Version,
		"shoot--garden--local":          c.Shoot.Status.TechnicalID,
		"100.64.0.1":                    cluster.Join(c.APIServiceIPs()),
		"100.64.0.10":                   cluster.Join(c.DNSServiceIPs()),
		"10.89.0.0/24":                  cluster.Join(c.Nodes),
		"api." + manifest.BuiltinDomain: c.APIDomain(),
		"control-plane":                 c.ControlPlane.Name,
		"https://127.0.0.1:7443":        c.NodeServer(),
	} {
		if got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	if !c.SharedControlPlane() {
		t.Error("the built-in cluster's only node must carry workload")
	}
}

// The types that are spoken on the wire are those of the version that is told.
func TestGardenerVersionIsThatOfTheTypes(t *testing.T) {
	raw, err := os.ReadFile("../../../go.mod")
	if err != nil || !strings.Contains(string(raw), "\tgithub.com/gardener/gardener/pkg/apis "+cluster.GardenerVersion+"\n") {
		t.Errorf("go.mod has another version than %s: %v", cluster.GardenerVersion, err)
	}
}

func TestNewIsDeterministic(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Spec.Maintenance = nil // Gardener's default draws a random window
	var windows []gardencore.MaintenanceTimeWindow
	for range 3 {
		c, err := cluster.New(set, "u")
		if err != nil {
			t.Fatal(err)
		}
		windows = append(windows, *c.Shoot.Spec.Maintenance.TimeWindow)
	}
	if windows[0] != windows[1] || windows[1] != windows[2] {
		t.Errorf("maintenance windows differ: %v", windows)
	}
}

func TestNewKeepsShootUID(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Status.UID = "from-manifest"
	c, err := cluster.New(set, "generated")
	if err != nil || c.UID != "from-manifest" {
		t.Errorf("got %v, %v; want the manifest's uid", c, err)
	}
}

// TestWarnings are rules 5-7 of contract shoot-api §3: a garden has them, we have not.
func TestWarnings(t *testing.T) {
	available := func(kind gardencore.FailureToleranceType) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			s.Spec.ControlPlane = &gardencore.ControlPlane{HighAvailability: &gardencore.HighAvailability{
				FailureTolerance: gardencore.FailureTolerance{Type: kind},
			}}
			one := intstr.FromInt32(1)
			s.Spec.Provider.Workers[0].MaxSurge, s.Spec.Provider.Workers[0].MaxUnavailable = &one, &one
		}
	}
	nodes := func(number int32) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			s.Spec.Provider.Workers[0].Minimum, s.Spec.Provider.Workers[0].Maximum = number, number
		}
	}
	const maximum, availability = "spec.provider.workers[0].maximum: ", "spec.controlPlane.highAvailability: "
	for name, test := range map[string]struct {
		changes []func(*gardencore.Shoot)
		want    []string
	}{
		"one node":                          {nil, nil},
		"5, 6: three nodes":                 {[]func(*gardencore.Shoot){nodes(3)}, []string{maximum, availability}},
		"5: three nodes, highly available":  {[]func(*gardencore.Shoot){nodes(3), available("node")}, []string{maximum}},
		"7: one node, highly available":     {[]func(*gardencore.Shoot){available("node")}, []string{availability}},
		"7: zones, of which there are none": {[]func(*gardencore.Shoot){nodes(3), available("zone")}, []string{maximum, "spec.controlPlane.highAvailability.failureTolerance.type: "}},
	} {
		t.Run(name, func(t *testing.T) {
			set := manifest.Builtin(manifest.DefaultNodes())
			for _, change := range test.changes {
				change(set.Shoot)
			}
			got := create(t, set).Warnings
			if len(got) != len(test.want) {
				t.Fatalf("got %q, want %d", got, len(test.want))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], "this Shoot cannot be connected to Gardener up to 1.150: "+want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestUnusedBindingsAreTold(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	//lint:ignore SA1019 whoever still uses it must be told
	set.SecretBinding = &gardencore.SecretBinding{ObjectMeta: metav1.ObjectMeta{Name: "account"}}
	if got := create(t, set).Warnings; len(got) != 1 || !strings.Contains(got[0], "SecretBinding account is not used") {
		t.Errorf("got %q", got)
	}
}

func TestZoneOfAMachine(t *testing.T) {
	for _, test := range []struct {
		zones       []string
		asked, want string
		refused     bool
	}{
		{nil, "", "", false},
		{nil, "a", "", true},
		{[]string{"a"}, "", "a", false},
		{[]string{"a"}, "a", "a", false},
		{[]string{"a"}, "b", "", true},
		{[]string{"a", "b"}, "", "", true},
		{[]string{"a", "b"}, "b", "b", false},
		{[]string{"a", "b"}, "c", "", true},
	} {
		pool := cluster.Pool{Name: "p", Worker: gardencore.Worker{Zones: test.zones}}
		got, err := pool.CheckZone(test.asked)
		if got != test.want || (err != nil) != test.refused {
			t.Errorf("%v, %q: got %q, %v", test.zones, test.asked, got, err)
		}
		if test.refused && fault.ClassOf(err) != fault.Usage {
			t.Errorf("%v, %q: got %v, want a fault of class usage", test.zones, test.asked, err)
		}
	}
}

// TestPoolsOwnKubelet: a pool's settings replace the cluster's whole.
func TestPoolsOwnKubelet(t *testing.T) {
	set := onePool()
	set.Shoot.Spec.Kubernetes.Kubelet.FailSwapOn = ptr.To(false)
	set.Shoot.Spec.Provider.Workers[0].Kubernetes = &gardencore.WorkerKubernetes{Version: ptr.To(manifest.KubernetesVersion)}
	other := *set.Shoot.Spec.Provider.Workers[0].DeepCopy()
	other.Name, other.ControlPlane = "other", nil
	other.Kubernetes.Kubelet = &gardencore.KubeletConfig{MaxPods: ptr.To[int32](50)}
	set.Shoot.Spec.Provider.Workers = append(set.Shoot.Spec.Provider.Workers, other)
	c := create(t, set)
	if len(c.Pools) != 2 || c.Pools[0].Name != c.ControlPlane.Name || c.Pools[1].ControlPlane {
		t.Fatalf("got pools %+v", c.Pools)
	}
	if !c.AllowsSwap(c.ControlPlane) || c.AllowsSwap(c.Pools[1]) {
		t.Error("swap must be allowed by the cluster's settings, and not by the pool's own")
	}
	if got := c.Kubelet(c.Pools[1]).MaxPods; ptr.Deref(got, 0) != 50 {
		t.Errorf("got %v pods, want the pool's own 50", got)
	}
	if got := c.KubeletVersion(c.Pools[1]); got != manifest.KubernetesVersion {
		t.Errorf("got kubelet %s", got)
	}
}

func TestLookups(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	all(named("shot", "Secret", "token"), named("settings", "ConfigMap", "plan"))(&set)
	set.Secrets = []*corev1.Secret{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "token"}}, {ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: "token"}},
	}
	set.ConfigMaps = []*corev1.ConfigMap{{ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: "plan"}}}
	c := create(t, set)
	if got := c.Resource("shot"); got != runtime.Object(set.Secrets[1]) {
		t.Errorf("got %v, want the Secret of the Shoot's namespace", got)
	}
	if got := c.Resource("settings"); got != runtime.Object(set.ConfigMaps[0]) {
		t.Errorf("got %v, want the ConfigMap", got)
	}
	if got := c.Resource("token"); got != nil {
		t.Errorf("got %v, want nil for a name that only the object has", got)
	}
	if c.Secret("plan") != nil || c.ConfigMap("plan") != set.ConfigMaps[0] || c.Secret("token") != set.Secrets[1] {
		t.Error("objects are looked up by kind and name in the Shoot's namespace")
	}
}
