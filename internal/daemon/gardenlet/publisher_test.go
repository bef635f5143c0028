package gardenlet

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	render "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is what init leaves in the API of a cluster with a control plane node and a pool of workers.
type world struct {
	api     *kube.Client
	cluster *cluster.Cluster
	node    cluster.Node
	secrets secret.Set
	images  image.Vector
}

func newWorld(t *testing.T) *world {
	t.Helper()
	set := manifest.Builtin(manifest.DefaultNodes())
	worker := *set.Shoot.Spec.Provider.Workers[0].DeepCopy()
	worker.Name, worker.ControlPlane = "workers", nil
	set.Shoot.Spec.Provider.Workers = append(set.Shoot.Spec.Provider.Workers, worker)
	c, err := cluster.New(set, "11111111-2222-3333-4444-555555555555")
	must(t, err)
	w := &world{cluster: c, images: image.Vector{}, api: &kube.Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()}}
	w.node = cluster.Node{Name: "cp1", Pool: c.ControlPlane.Name, Architecture: "amd64", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.10")}}
	for _, name := range []string{
		image.KubeAPIServer, image.KubeControllerManager, image.KubeScheduler, image.Etcd, image.Pause, image.Hyperkube, image.Containerd, image.Runc, image.CNIPlugins,
	} {
		w.images[name] = "registry.test/" + name + ":v1"
	}
	specs, err := render.Secrets(c, []cluster.Node{w.node})
	must(t, err)
	w.secrets, err = secret.Issuer{Store: kube.SecretStore{Client: w.api}}.Ensure(t.Context(), specs)
	must(t, err)
	must(t, w.api.Create(t.Context(), controlPlaneNode("cp1")))
	w.define(t)
	return w
}

func (w *world) define(t *testing.T) {
	t.Helper()
	must(t, definition.Save(t.Context(), w.api, definition.Definition{UID: w.cluster.UID, Manifests: w.cluster.Manifests, Images: w.images}))
}

func controlPlaneNode(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{labelControlPlane: ""}},
		Status: corev1.NodeStatus{
			NodeInfo:  corev1.NodeSystemInfo{Architecture: "amd64"},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "10.250.0.10"}},
		},
	}
}

func (w *world) publish(t *testing.T) error {
	t.Helper()
	again, err := publisher{api: w.api, log: slog.New(slog.DiscardHandler)}.reconcile(t.Context(), definition.Key().Name)
	if err == nil && again != publishEvery {
		t.Errorf("comes again after %s, want %s", again, publishEvery)
	}
	return err
}

// configuration is what is published for the pool, "" for nothing.
func (w *world) configuration(t *testing.T, pool cluster.Pool) string {
	t.Helper()
	key, err := osc.Key(w.cluster, pool)
	must(t, err)
	object := &corev1.Secret{}
	must(t, client.IgnoreNotFound(w.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: key}, object)))
	return string(object.Data[osc.DataKey])
}

// TestPublishedIsWhatBootAppliesItself: a node's agent has nothing to change on the node that init made.
func TestPublishedIsWhatBootAppliesItself(t *testing.T) {
	w := newWorld(t)
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
		spoil func(*world, *testing.T)
		want  string
		all   bool // pools stay as they are
	}{
		"no Node": {func(w *world, t *testing.T) { must(t, w.api.Delete(t.Context(), controlPlaneNode("cp1"))) }, "there is no Node cp1 with the label", true},
		"a Node without its label": {func(w *world, t *testing.T) {
			node := controlPlaneNode("cp1")
			must(t, w.api.Get(t.Context(), client.ObjectKeyFromObject(node), node))
			node.Labels = nil
			must(t, w.api.Update(t.Context(), node))
		}, "there is no Node cp1 with the label", true},
		"a Node without secrets": {func(w *world, t *testing.T) { must(t, w.api.Create(t.Context(), controlPlaneNode("cp2"))) }, "cp2: it was not issued", true},
		"a Node without address": {func(w *world, t *testing.T) {
			node := controlPlaneNode("cp2")
			node.Status.Addresses = nil
			must(t, w.api.Create(t.Context(), node))
		}, "node cp2 has no internal address", true},
		"a secret that is gone": {func(w *world, t *testing.T) {
			object, err := secret.Object(w.secrets[secret.ServiceAccountKey().Key()])
			must(t, err)
			must(t, w.api.Delete(t.Context(), object))
		}, "find secret service-account-key: it was not issued", false},
		"an image that is gone": {func(w *world, _ *testing.T) { delete(w.images, image.KubeScheduler) }, `find image "kube-scheduler"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
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
	w := newWorld(t)
	must(t, w.api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: definition.Key().Namespace, Name: definition.Key().Name}}))
	again, err := publisher{api: w.api, log: slog.New(slog.DiscardHandler)}.reconcile(t.Context(), "x")
	if again != 0 || err != nil || w.configuration(t, w.cluster.Pools[1]) != "" {
		t.Errorf("got %s, %v, want neither", again, err)
	}
}
