package gardenlet

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	render "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// configuration is what is published for the pool, "" for nothing.
func (f *fixture) configuration(t *testing.T, pool cluster.Pool) string {
	t.Helper()
	key, err := osc.Key(f.cluster, pool)
	must(t, err)
	object := &corev1.Secret{}
	must(t, client.IgnoreNotFound(f.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: key}, object)))
	return string(object.Data[osc.DataKey])
}

// TestPublishedIsWhatBootAppliesItself: a node's agent has nothing to change on the node that init made.
func TestPublishedIsWhatBootAppliesItself(t *testing.T) {
	w := withSecrets(t)
	must(t, w.publish(t))
	config, err := render.Config(component.Input{Cluster: w.cluster, Images: w.images, Secrets: w.secrets}, []cluster.Node{w.node}, w.cluster.ControlPlane)
	must(t, err)
	want, err := osc.Secret(w.cluster, w.cluster.ControlPlane, config)
	must(t, err)
	if w.configuration(t, w.cluster.ControlPlane) != string(want.Data[osc.DataKey]) {
		t.Error("the published configuration is not the one that Boot renders")
	}
	workers := w.configuration(t, w.cluster.Pools[1])
	for _, own := range []string{"/etc/kubernetes", "gardenlet"} {
		if workers == "" || strings.Contains(workers, own) {
			t.Errorf("the workers' configuration is empty or has %s", own)
		}
	}
}

// TestWithoutAllItNeeds: what cannot be rendered whole stays as it was, and the other pool gets its news all the same,
// but while nobody knows the nodes of the control plane, from which all nodes take images.
func TestWithoutAllItNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*fixture, *testing.T)
		want  string
		all   bool // pools stay as they are
	}{
		"no Node": {func(w *fixture, t *testing.T) { must(t, w.api.Delete(t.Context(), controlPlaneNode("cp1"))) }, "there is no Node cp1 with the label", true},
		"a Node without its label": {func(w *fixture, t *testing.T) {
			node := controlPlaneNode("cp1")
			must(t, w.api.Get(t.Context(), client.ObjectKeyFromObject(node), node))
			node.Labels = nil
			must(t, w.api.Update(t.Context(), node))
		}, "there is no Node cp1 with the label", true},
		"a Node without secrets": {func(w *fixture, t *testing.T) { must(t, w.api.Create(t.Context(), controlPlaneNode("cp2"))) }, "cp2: it was not issued", true},
		"a Node without address": {func(w *fixture, t *testing.T) {
			node := controlPlaneNode("cp2")
			node.Status.Addresses = nil
			must(t, w.api.Create(t.Context(), node))
		}, "node cp2 has no internal address", true},
		"a secret that is gone": {func(w *fixture, t *testing.T) {
			object, err := secret.Object(w.secrets[secret.ServiceAccountKey().Key()])
			must(t, err)
			must(t, w.api.Delete(t.Context(), object))
		}, "find secret service-account-key: it was not issued", false},
		"an image that is gone": {func(w *fixture, _ *testing.T) { delete(w.images, image.KubeScheduler) }, `find image "kube-scheduler"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := withSecrets(t)
			must(t, w.publish(t))
			controlPlane, workers := w.configuration(t, w.cluster.ControlPlane), w.configuration(t, w.cluster.Pools[1])
			c.spoil(w, t)
			w.images[image.Runc] = "registry.test/runc:v2"
			w.define(t)
			if err := w.publish(t); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if w.configuration(t, w.cluster.ControlPlane) != controlPlane {
				t.Error("the control plane's configuration changed")
			}
			if same := w.configuration(t, w.cluster.Pools[1]) == workers; same != c.all {
				t.Errorf("the workers' configuration stayed as it was: %t", same)
			}
		})
	}
}

// TestBeforeTheDefinition: there is nothing to do until init has written it.
func TestBeforeTheDefinition(t *testing.T) {
	w := withSecrets(t)
	must(t, w.api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: definition.Key().Namespace, Name: definition.Key().Name}}))
	w.see(t)
	again, err := publisher{w.world}.reconcile(t.Context(), "all")
	if again != 0 || err != nil || w.configuration(t, w.cluster.Pools[1]) != "" {
		t.Errorf("got %s, %v, want neither", again, err)
	}
}

// TestPrune: the configuration of a pool that is gone goes with its last node.
func TestPrune(t *testing.T) {
	f := withSecrets(t)
	last := workerNode("last")
	last.Labels["worker.gardener.cloud/gardener-node-agent-secret-name"] = "gardener-node-agent-used"
	must(t, f.api.Create(t.Context(), last))
	for name, labels := range map[string]map[string]string{
		"gardener-node-agent-gone": {"gardener.cloud/role": "operating-system-config", "worker.gardener.cloud/pool": "gone"},
		"gardener-node-agent-used": {"gardener.cloud/role": "operating-system-config", "worker.gardener.cloud/pool": "used"},
		"of-no-pool":               {"gardener.cloud/role": "operating-system-config"},
		"gardener-node-agent-else": {"gardener.cloud/role": "something", "worker.gardener.cloud/pool": "gone"},
	} {
		must(t, f.api.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: labels}}))
	}
	const kept = "gardener-node-agent-control-plane gardener-node-agent-else "
	left := func() string {
		must(t, f.publish(t))
		var out []string
		for name := range strings.SplitSeq(f.names(t, &corev1.SecretList{}), " ") {
			if strings.HasPrefix(name, "gardener-node-agent-") || name == "of-no-pool" {
				out = append(out, name)
			}
		}
		return strings.Join(out, " ")
	}
	if got := left(); got != kept+"gardener-node-agent-used gardener-node-agent-workers of-no-pool" {
		t.Error(got)
	}
	must(t, f.api.Delete(t.Context(), last))
	if got := left(); got != kept+"gardener-node-agent-workers of-no-pool" {
		t.Error(got)
	}
}

// TestSerial: the nodes of the control plane take turns, workers do not.
func TestSerial(t *testing.T) {
	f := withSecrets(t)
	must(t, f.publish(t))
	for pool, want := range map[string]string{"control-plane": "true", "workers": ""} {
		object := &corev1.Secret{}
		must(t, f.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardener-node-agent-" + pool}, object))
		if got := object.Annotations["reconciliation.osc.node-agent.gardener.cloud/serial"]; got != want {
			t.Errorf("pool %s is serial: %q", pool, got)
		}
	}
}
