package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/daemon/gardenlet"
	"github.com/gardenadm/gardenadm/internal/daemon/serving"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// TestGardenlet: it waits for its rights without complaint, decides, publishes, and hands over.
func TestGardenlet(t *testing.T) {
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	first := on.gardenlet(t, "first")
	requester := on.user(t, "system:node:cp1", "system:nodes")
	check(t, requester.Create(t.Context(), servingRequest(t, "early")))
	first.waits(t, "waiting for the API server")
	if n := strings.Count(first.String(), "\n"); n != 1 {
		t.Errorf("before it has its rights it says more than that it waits:\n%s", first)
	}

	on.giveAccess(t, c)
	on.makeControlPlane(t, c)
	eventually(t, "the request is approved", func() bool { return on.condition(t, "early") == certificatesv1.CertificateApproved })
	for _, pool := range c.Pools {
		on.published(t, c, pool)
	}

	// A second one takes over when the first one stops, and goes on.
	second := on.gardenlet(t, "second")
	first.stop()
	eventually(t, "the second one leads", func() bool { return on.leader(t) == "second" })
	check(t, requester.Create(t.Context(), servingRequest(t, "late")))
	eventually(t, "the second request is approved", func() bool { return on.condition(t, "late") == certificatesv1.CertificateApproved })

	// Without its Node the control plane keeps the configuration that it has.
	before := on.configuration(t, c, c.ControlPlane)
	check(t, on.admin.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp1"}}))
	d, err := definition.Load(t.Context(), on.admin)
	check(t, err)
	d.Images[image.Pause] = "registry.test/pause:v2"
	check(t, definition.Save(t.Context(), on.admin, d))
	second.waits(t, "there is no Node cp1")
	if after := on.configuration(t, c, c.ControlPlane); after.ResourceVersion != before.ResourceVersion {
		t.Error("the control plane's configuration was published without its node")
	}
	second.stop()
	if strings.Contains(first.String()+second.String(), "PRIVATE KEY") {
		t.Error("the log shows a key")
	}
}

// running is a gardenlet's log, where it answers, and how to end it.
type running struct {
	address string
	disk    disk
	mutex   sync.Mutex
	log     bytes.Buffer
	stop    func()
}

func (r *running) Write(line []byte) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.log.Write(line)
}

func (r *running) String() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.log.String()
}

func (r *running) waits(t *testing.T, text string) {
	t.Helper()
	eventually(t, "the gardenlet says "+text, func() bool { return strings.Contains(r.String(), text) })
}

func (a *api) gardenlet(t *testing.T, identity string) *running {
	t.Helper()
	who := a.user(t, secret.Gardenlet().CommonName)
	ctx, cancel := context.WithCancel(t.Context())
	out := &running{disk: newDisk(t)}
	options := out.options(t, who.kubeconfig, identity)
	ended := make(chan error, 1)
	go func() { ended <- gardenlet.Run(ctx, options) }()
	out.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("gardenlet %s: %v", identity, err)
		}
	})
	t.Cleanup(func() {
		out.stop()
		if t.Failed() {
			t.Logf("gardenlet %s:\n%s", identity, out)
		}
	})
	return out
}

// options are those of a gardenlet on this machine.
func (r *running) options(t *testing.T, kubeconfig []byte, identity string) gardenlet.Options {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	r.address = listener.Addr().String()
	log := slog.New(slog.NewTextHandler(r, nil))
	return gardenlet.Options{
		Kubeconfig: kubeconfig, Identity: identity, Files: r.disk, Listener: listener, TLS: serving.Config(r.disk, log),
		Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: log,
	}
}

// disk holds the files of a control plane node that the gardenlet reads, and what they were issued from.
type disk struct {
	files  map[string][]byte
	issued *secret.Memory
}

func (d disk) Read(_ context.Context, path string) ([]byte, error) {
	content, ok := d.files[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return content, nil
}

// newDisk has the serving certificate of 127.0.0.1, and the authority that signed it, which is that of clients, too.
func newDisk(t *testing.T) disk {
	t.Helper()
	spec := secret.Spec{
		Name: "serving", Kind: secret.Server, Signer: secret.AuthorityClient, CommonName: "serving", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}
	out := disk{issued: &secret.Memory{}}
	set, err := secret.Issuer{Store: out.issued}.Ensure(t.Context(), []secret.Spec{secret.Authority(secret.AuthorityClient), spec})
	check(t, err)
	out.files = map[string][]byte{
		layout.FileServingCert: set.Get("serving", "", secret.DataCert), layout.FileServingKey: set.Get("serving", "", secret.DataKey),
		layout.FileKubeletCA: set.Get(secret.AuthorityClient, "", secret.DataCACert),
	}
	return out
}

// makeControlPlane puts into the API what init leaves there: a node, the secrets, the definition.
func (a *api) makeControlPlane(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	object := node("cp1")
	object.Labels["node-role.kubernetes.io/control-plane"], object.Labels["worker.gardener.cloud/pool"] = "", c.ControlPlane.Name
	object.Annotations[secret.AnnotationPool] = c.ControlPlane.Name // as its agent
	check(t, a.admin.Create(t.Context(), object))
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.250.0.10"}, {Type: corev1.NodeHostName, Address: "cp1"}}
	check(t, a.admin.Status().Update(t.Context(), object))

	machine := cluster.Node{Name: "cp1", Pool: c.ControlPlane.Name, Addresses: []netip.Addr{netip.MustParseAddr("10.250.0.10")}}
	specs, err := pool.Secrets(c, []cluster.Node{machine})
	check(t, err)
	store := kube.SecretStore{Client: a.admin}
	_, err = secret.Issuer{Store: store}.Ensure(t.Context(), specs)
	check(t, err)

	images := image.Vector{}
	for _, name := range []string{
		image.KubeAPIServer, image.KubeControllerManager, image.KubeScheduler, image.KubeProxy, image.Etcd, image.CoreDNS, image.Flannel,
		image.Pause, image.Hyperkube, image.Containerd, image.Runc, image.CNIPlugins, image.MetricsServer,
	} {
		images[name] = "registry.test/" + name + ":v1"
	}
	check(t, definition.Save(t.Context(), a.admin, definition.Definition{UID: c.UID, Manifests: c.Manifests, Images: images}))
}

// published: the pool's Secret is there, as the contract has it.
func (a *api) published(t *testing.T, c *cluster.Cluster, pool cluster.Pool) {
	t.Helper()
	eventually(t, "the configuration of pool "+pool.Name+" is published", func() bool { return a.configuration(t, c, pool) != nil })
	object := a.configuration(t, c, pool)
	data := object.Data["osc.yaml"]
	sum := sha256.Sum256(data)
	if object.Annotations["checksum/data-script"] != hex.EncodeToString(sum[:]) || object.Labels["worker.gardener.cloud/pool"] != pool.Name || object.Labels["gardener.cloud/role"] != "operating-system-config" {
		t.Errorf("pool %s: labels %v, annotations %v", pool.Name, object.Labels, object.Annotations)
	}
	if has := bytes.Contains(data, []byte("/etc/kubernetes/manifests/kube-apiserver.yaml")); has != pool.ControlPlane {
		t.Errorf("pool %s: static pods %v, want %v", pool.Name, has, pool.ControlPlane)
	}
	t.Logf("pool %s: %d bytes", pool.Name, len(data))
}

func (a *api) configuration(t *testing.T, c *cluster.Cluster, pool cluster.Pool) *corev1.Secret {
	t.Helper()
	object := &corev1.Secret{}
	err := a.admin.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: keyOf(t, c, pool.Name)}, object)
	if err != nil {
		check(t, client.IgnoreNotFound(err))
		return nil
	}
	return object
}

func (a *api) leader(t *testing.T) string {
	t.Helper()
	object := &coordinationv1.Lease{}
	check(t, a.admin.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardenlet"}, object))
	if object.Spec.HolderIdentity == nil {
		return ""
	}
	return *object.Spec.HolderIdentity
}

func (a *api) condition(t *testing.T, request string) certificatesv1.RequestConditionType {
	t.Helper()
	object := &certificatesv1.CertificateSigningRequest{}
	check(t, a.admin.Get(t.Context(), client.ObjectKey{Name: request}, object))
	if len(object.Status.Conditions) == 0 {
		return ""
	}
	return object.Status.Conditions[0].Type
}

// servingRequest is a request of cp1's kubelet for a serving certificate.
func servingRequest(t *testing.T, name string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: requestFor(t, &x509.CertificateRequest{
				Subject:  pkix.Name{CommonName: "system:node:cp1", Organization: []string{"system:nodes"}},
				DNSNames: []string{"cp1"}, IPAddresses: []net.IP{net.ParseIP("10.250.0.10")},
			}),
			SignerName: certificatesv1.KubeletServingSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		},
	}
}

// requestFor is what the template says, for a new key.
func requestFor(t *testing.T, template *x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}
