package gardenlet

import (
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestLeaving: of the node that leaves nothing stays in the API, and of all others everything.
func TestLeaving(t *testing.T) {
	f := newFixture(t)
	lease := func(name string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
	}
	asked := func(name, commonName string) *certificatesv1.CertificateSigningRequest {
		out := request(name)
		out.Spec.Request = csr(t, commonName)
		return out
	}
	w1 := workerNode("w1")
	w1.Annotations = map[string]string{"node.gardenadm.dev/leaving": "true"}
	for _, object := range []client.Object{
		w1, workerNode("w10"), lease("gardener-node-agent-w1"), lease("gardener-node-agent-w10"), lease("gardenlet"),
		asked("a", "system:node:w1"), asked("b", "gardener.cloud:node-agent:machine:w1"),
		asked("c", "system:node:w10"), asked("d", "gardener.cloud:node-agent:machine:w10"), asked("e", "w1"), request("f"),
	} {
		must(t, f.api.Create(t.Context(), object))
	}
	for _, name := range []string{"w1", "w10", "gone"} {
		if _, err := (undertaker{f.world}).reconcile(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		list client.ObjectList
		want string
	}{
		"nodes": {&corev1.NodeList{}, "cp1 w10"}, "leases": {&coordinationv1.LeaseList{}, "gardener-node-agent-w10 gardenlet"},
		"requests": {&certificatesv1.CertificateSigningRequestList{}, "c d e f"},
	} {
		if got := f.names(t, c.list); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

// TestWhoLeaves: a control plane node does not go this way.
func TestWhoLeaves(t *testing.T) {
	names := removeLeaving(newFixture(t).world).triggers[0].names
	worker, controlPlane := workerNode("w1"), controlPlaneNode("cp1")
	if got := names(worker); len(got) > 0 {
		t.Errorf("%q leave without a word", got)
	}
	worker.Annotations = map[string]string{"node.gardenadm.dev/leaving": "true"}
	controlPlane.Annotations = worker.Annotations
	if got := append(names(worker), names(controlPlane)...); !slices.Equal(got, []string{"w1"}) {
		t.Errorf("%q leave", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		nodes   int
		longest time.Duration
		want    string // the first, the second and the last
	}{
		{1, maxDelay, "0s 0s"}, {2, maxDelay, "0s 10s 10s"}, {3, maxDelay, "0s 10s 20s"}, {31, maxDelay, "0s 10s 5m0s"},
		{301, maxDelay, "0s 1s 5m0s"}, {501, maxDelay, "0s 600ms 5m0s"}, {3, 0, "0s 0s 0s"}, {3, 5 * time.Second, "0s 2.5s 5s"},
	} {
		delays := spread(c.nodes, c.longest)
		got := []string{delays[0].String()}
		if c.nodes > 1 {
			got = append(got, delays[1].String())
		}
		got = append(got, delays[c.nodes-1].String())
		if strings.Join(got, " ") != c.want {
			t.Errorf("%d nodes within %s: %s, want %s", c.nodes, c.longest, got, c.want)
		}
	}
}

// TestDelays: workers get them, in order of their names; in a large pool one more changes little.
func TestDelays(t *testing.T) {
	f := newFixture(t)
	spreadAll := func() string {
		f.see(t)
		for _, pool := range []string{"workers", "control-plane", "other", ""} {
			if _, err := (spreader{f.world}).reconcile(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
		}
		list := &corev1.NodeList{}
		must(t, f.api.List(t.Context(), list))
		var out []string
		for _, node := range list.Items {
			out = append(out, node.Name+"="+node.Annotations["node-agent.gardener.cloud/reconciliation-delay"])
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	must(t, f.api.Create(t.Context(), workerNode("w2")))
	must(t, f.api.Create(t.Context(), workerNode("w3")))
	if got := spreadAll(); got != "cp1= w2=0s w3=10s" {
		t.Error(got)
	}
	must(t, f.api.Create(t.Context(), workerNode("w1")))
	if got := spreadAll(); got != "cp1= w1=0s w2=10s w3=20s" {
		t.Error(got)
	}
	f.cluster.Manifests.Shoot.Annotations["shoot.gardener.cloud/cloud-config-execution-max-delay-seconds"] = "0"
	f.redefine(t)
	if got := spreadAll(); got != "cp1= w1=0s w2=0s w3=0s" {
		t.Error(got)
	}
}

// names are those of all objects of the list's kind, sorted.
func (f *fixture) names(t *testing.T, list client.ObjectList) string {
	t.Helper()
	must(t, f.api.List(t.Context(), list))
	var out []string
	must(t, eachName(list, func(name string) { out = append(out, name) }))
	slices.Sort(out)
	return strings.Join(out, " ")
}
