package gardenlet

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	render "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is what init leaves in the API of a cluster with a control plane node and a pool of workers.
type fixture struct {
	world
	cluster *cluster.Cluster
	node    cluster.Node
	secrets secret.Set
	images  image.Vector
	log     bytes.Buffer
}

// fakeAPI lists before it watches.
type fakeAPI struct{ client.WithWatch }

func (fakeAPI) IsWatchListSemanticsUnSupported() bool { return true }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	set := manifest.Builtin(manifest.DefaultNodes())
	worker := *set.Shoot.Spec.Provider.Workers[0].DeepCopy()
	worker.Name, worker.ControlPlane = "workers", nil
	set.Shoot.Spec.Provider.Workers = append(set.Shoot.Spec.Provider.Workers[:1], worker)
	f := &fixture{images: image.Vector{}}
	api := fakeAPI{fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()}
	var err error
	f.world, err = newWorld(&kube.Client{Client: api}, api, slog.New(slog.NewTextHandler(&f.log, nil)))
	must(t, err)
	f.cluster, err = cluster.New(set, "11111111-2222-3333-4444-555555555555")
	must(t, err)
	f.node = cluster.Node{Name: "cp1", Pool: f.cluster.ControlPlane.Name, Architecture: "amd64", Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.10")}}
	for _, name := range append(catalog.Images(f.cluster), image.Pause, image.Hyperkube, image.Containerd, image.Runc, image.CNIPlugins) {
		f.images[name] = "registry.test/" + name + ":v1"
	}
	must(t, f.api.Create(t.Context(), controlPlaneNode("cp1")))
	f.define(t)
	return f
}

// withSecrets is a fixture in which init has issued all that the cluster needs.
func withSecrets(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	specs, err := render.Secrets(f.cluster, []cluster.Node{f.node})
	must(t, err)
	f.secrets, err = secret.Issuer{Store: kube.SecretStore{Client: f.api}}.Ensure(t.Context(), specs)
	must(t, err)
	f.date(t, time.Now())
	return f
}

// see makes the world see what the API has.
func (f *fixture) see(t *testing.T) {
	t.Helper()
	for in, of := range map[watched]kind{
		f.nodes: nodesKind(), f.pods: criticalPods(), f.daemonSets: criticalDaemonSets(), f.issued: secretsKind("", client.MatchingLabels(secret.Labels())),
		f.world.definition: secretsKind("", client.MatchingFields{"metadata.name": definition.Key().Name}),
	} {
		list := of.list()
		options := slices.DeleteFunc(slices.Clone(of.options), func(o client.ListOption) bool { _, fields := o.(client.MatchingFields); return fields })
		must(t, f.api.List(t.Context(), list, options...))
		objects, err := meta.ExtractList(list)
		must(t, err)
		var kept []any
		for _, object := range objects {
			one, err := of.trimmed(object)
			must(t, err)
			kept = append(kept, one)
		}
		must(t, in.GetIndexer().Replace(kept, ""))
	}
}

func (f *fixture) define(t *testing.T) {
	t.Helper()
	must(t, definition.Save(t.Context(), f.api, definition.Definition{UID: f.cluster.UID, Manifests: f.cluster.Manifests, Images: f.images}))
}

func controlPlaneNode(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{labelControlPlane: "", "worker.gardener.cloud/pool": "control-plane"},
			Annotations: map[string]string{"node.gardenadm.dev/pool": "control-plane"},
		},
		Status: corev1.NodeStatus{
			NodeInfo:  corev1.NodeSystemInfo{Architecture: "amd64"},
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "10.250.0.10"}},
		},
	}
}

func (f *fixture) publish(t *testing.T) error {
	t.Helper()
	f.see(t)
	again, err := publisher{f.world}.reconcile(t.Context(), "all")
	if err == nil && again != publishEvery {
		t.Errorf("comes again after %s, want %s", again, publishEvery)
	}
	return err
}

func eachName(list client.ObjectList, see func(string)) error {
	objects, err := meta.ExtractList(list)
	for _, object := range objects {
		see(object.(client.Object).GetName())
	}
	return err
}

// csr is a request for the certificate of a name.
func csr(t *testing.T, commonName string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}, key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// date gives what has no time of creation the one that an API server would have given it.
func (f *fixture) date(t *testing.T, now time.Time) {
	t.Helper()
	for _, one := range f.objects(t) {
		if one.CreationTimestamp.IsZero() {
			one.CreationTimestamp = metav1.NewTime(now)
			must(t, f.api.Update(t.Context(), &one))
		}
	}
}

// objects are the Secrets of issued secrets by name, also those that have been issued anew since.
func (f *fixture) objects(t *testing.T) map[string]corev1.Secret {
	t.Helper()
	list, out := &corev1.SecretList{}, map[string]corev1.Secret{}
	must(t, f.api.List(t.Context(), list, client.MatchingLabels(secret.Labels())))
	for _, one := range list.Items {
		out[one.Name] = one
	}
	return out
}
