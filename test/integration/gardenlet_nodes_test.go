package integration

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/daemon/gardenlet"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const taintCritical = "node.gardener.cloud/critical-components-not-ready"

// TestGardenletLooksAfterNodes: the list of API servers, a worker from its registration to its end, and a pool that goes.
func TestGardenletLooksAfterNodes(t *testing.T) {
	on := start(t)
	c, err := cluster.New(twoPools(), uid)
	check(t, err)
	on.giveAccess(t, c)
	on.makeControlPlane(t, c)
	runs := on.gardenlet(t, "first")
	// One after the other: each goes on with what the one before left.
	t.Run("list of API servers", func(t *testing.T) { on.listsServers(t, runs) })
	t.Run("worker", func(t *testing.T) { on.makesUsable(t) })
	t.Run("certificates", func(t *testing.T) { on.renewsCertificates(t, runs) })
	t.Run("pool", func(t *testing.T) { on.followsPools(t, c) })
	t.Run("leaving", func(t *testing.T) { on.buriesWorker(t) })
	t.Run("rights", func(t *testing.T) {
		for _, text := range []string{"forbidden", "level=ERROR"} {
			if strings.Contains(runs.String(), text) {
				t.Errorf("the log has %q", text)
			}
		}
	})
}

func (a *api) listsServers(t *testing.T, runs *running) {
	var list endpoint.List
	read := func() bool {
		object := &corev1.ConfigMap{}
		err := a.admin.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardenadm-endpoints"}, object)
		check(t, client.IgnoreNotFound(err))
		list, err = endpoint.Decode([]byte(object.Data["endpoints.json"]))
		return err == nil
	}
	eventually(t, "the list of API servers is published", read)
	if want := netip.MustParseAddrPort("10.250.0.10:6443"); len(list.Servers) != 1 || list.Servers[0].Addresses[0] != want {
		t.Errorf("got %+v", list)
	}
	a.edit(t, "cp1", func(n *corev1.Node) { n.Annotations[certificate.AnnotationLeaving] = "true" })
	eventually(t, "the leaving node is avoided", func() bool { return read() && list.Sequence == 2 && list.Servers[0].Draining })
	a.edit(t, "cp1", func(n *corev1.Node) { delete(n.Annotations, certificate.AnnotationLeaving) })
	eventually(t, "the node is used again", func() bool { return read() && list.Sequence == 3 && !list.Servers[0].Draining })

	slice := &discoveryv1.EndpointSlice{}
	check(t, a.admin.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, slice))
	if got := slice.Endpoints[0].Addresses; len(got) != 1 || got[0] != cluster.PodAPIServer().String() {
		t.Errorf("pods find the API at %s", got)
	}
	if status, _ := runs.ask(t, http.MethodGet, "/endpoints", nil); status != http.StatusNotFound {
		t.Errorf("without a list on its disk a gardenlet answers %d", status)
	}
}

// makesUsable: a worker registers; its label, delay and role come at once, and its taint goes with its last pod's readiness.
func (a *api) makesUsable(t *testing.T) {
	set := daemonSet("kube-proxy")
	check(t, a.admin.Create(t.Context(), set))
	worker, second := node("w1"), node("w2")
	for _, one := range []*corev1.Node{worker, second} {
		one.Annotations[secret.AnnotationPool] = "workers" // as their agents
	}
	worker.Spec.Taints = append(worker.Spec.Taints, corev1.Taint{Key: taintCritical, Effect: corev1.TaintEffectNoSchedule})
	check(t, a.admin.Create(t.Context(), worker))
	check(t, a.admin.Create(t.Context(), second))

	eventually(t, "the nodes have what their pool has", func() bool {
		first, second := a.node(t, "w1"), a.node(t, "w2")
		_, role := first.Labels["node-role.kubernetes.io/worker"]
		const delay = "node-agent.gardener.cloud/reconciliation-delay"
		return role && first.Labels["worker.gardener.cloud/cri-name"] == "containerd" && first.Annotations[delay] == "0s" && second.Annotations[delay] == "10s"
	})
	pod := podOf(set, "w1")
	check(t, a.admin.Create(t.Context(), pod))
	tainted := func() bool {
		return slices.ContainsFunc(a.node(t, "w1").Spec.Taints, func(t corev1.Taint) bool { return t.Key == taintCritical })
	}
	time.Sleep(2 * time.Second)
	if !tainted() {
		t.Error("the taint went before the pod was ready")
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	check(t, a.admin.Status().Update(t.Context(), pod))
	eventually(t, "the taint goes", func() bool { return !tainted() })
	if taints := a.node(t, "w1").Spec.Taints; !slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == "x" }) {
		t.Errorf("others' taints went, too: %v", taints)
	}
}

// renewsCertificates: a node asks a gardenlet with its certificate, and gets a new one by what that gives it. A token that
// admits new nodes does not make anybody w1.
func (a *api) renewsCertificates(t *testing.T, runs *running) {
	a.edit(t, "w1", func(n *corev1.Node) { n.Annotations[certificate.AnnotationApplied] = "x" })
	set, err := secret.Issuer{Store: runs.disk.issued}.Ensure(t.Context(), []secret.Spec{
		secret.Authority(secret.AuthorityClient), {
			Name: "agent", Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: agentOf + "w1", Organization: []string{agents, secret.NodeAgentPoolGroup("workers")},
		},
	})
	check(t, err)
	shown, err := tls.X509KeyPair(set.Get("agent", "", secret.DataCert), set.Get("agent", "", secret.DataKey))
	check(t, err)
	status, body := runs.ask(t, http.MethodPost, "/renewal", &shown)
	var given gardenlet.Renewal
	if status != http.StatusOK || json.Unmarshal([]byte(body), &given) != nil {
		t.Fatalf("got %d %s", status, body)
	}
	id, _, _ := strings.Cut(given.Token, ".")
	renewing := a.user(t, "system:bootstrap:"+id, "system:bootstrappers")
	check(t, token.Store{API: a.admin}.Create(t.Context(), token.Token{ID: "aaaaaa", Secret: "0123456789abcdef", Expires: time.Now().Add(time.Hour)}))
	joining := a.user(t, "system:bootstrap:aaaaaa", "system:bootstrappers", secret.GroupOpenTokens)
	for name, c := range map[string]struct {
		who    user
		agent  bool
		of     string
		wanted certificatesv1.RequestConditionType
	}{
		"agent-renewed":   {renewing, true, "w1", certificatesv1.CertificateApproved},
		"kubelet-renewed": {renewing, false, "w1", certificatesv1.CertificateApproved},
		"another-node":    {renewing, false, "w2", certificatesv1.CertificateDenied},
		"kubelet-stolen":  {joining, false, "w1", certificatesv1.CertificateDenied},
		"agent-stolen":    {joining, true, "w1", certificatesv1.CertificateDenied},
		"control-plane":   {joining, false, "cp1", certificatesv1.CertificateDenied},
		"kubelet-new":     {joining, false, "w9", certificatesv1.CertificateApproved},
		"agent-new":       {joining, true, "w9", certificatesv1.CertificateApproved},
	} {
		check(t, c.who.Create(t.Context(), clientRequest(t, name, c.of, c.agent)))
		eventually(t, name+" is decided", func() bool { return a.condition(t, name) != "" })
		if got := a.condition(t, name); got != c.wanted {
			t.Errorf("%s is %s, want %s", name, got, c.wanted)
		}
	}
}

// followsPools: what the Shoot says of a pool comes to its nodes and goes again, and with a pool its configuration.
func (a *api) followsPools(t *testing.T, c *cluster.Cluster) {
	d, err := definition.Load(t.Context(), a.admin)
	check(t, err)
	workers := &d.Manifests.Shoot.Spec.Provider.Workers[1]
	workers.Labels = map[string]string{"node-restriction.kubernetes.io/team": "x"}
	extra := *workers.DeepCopy()
	extra.Name = "extra"
	d.Manifests.Shoot.Spec.Provider.Workers = append(d.Manifests.Shoot.Spec.Provider.Workers, extra)
	check(t, definition.Save(t.Context(), a.admin, d))
	team := func() string { return a.node(t, "w1").Labels["node-restriction.kubernetes.io/team"] }
	eventually(t, "the label comes", func() bool { return team() == "x" })
	configured := func() bool {
		err := a.admin.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardener-node-agent-extra"}, &corev1.Secret{})
		check(t, client.IgnoreNotFound(err))
		return err == nil
	}
	eventually(t, "the new pool is configured", configured)
	d.Manifests.Shoot.Spec.Provider.Workers = d.Manifests.Shoot.Spec.Provider.Workers[:2]
	d.Manifests.Shoot.Spec.Provider.Workers[1].Labels = nil
	check(t, definition.Save(t.Context(), a.admin, d))
	eventually(t, "the label goes", func() bool { return team() == "" })
	eventually(t, "the configuration goes", func() bool { return !configured() })

	// Certificates that somebody asks for come, and with them the configuration.
	before := a.configuration(t, c, c.ControlPlane).ResourceVersion
	check(t, definition.AskRenewal(t.Context(), a.admin, time.Now().Add(-time.Second)))
	eventually(t, "renewed certificates are published", func() bool { return a.configuration(t, c, c.ControlPlane).ResourceVersion != before })
}

func (a *api) buriesWorker(t *testing.T) {
	agent := a.user(t, agentOf+"w1", agents, secret.NodeAgentPoolGroup("workers"))
	check(t, agent.Create(t.Context(), lease("gardener-node-agent-w1")))
	check(t, annotate(certificate.AnnotationLeaving, "true")(t.Context(), agent.Client, a.node(t, "w1")))
	eventually(t, "the Node goes", func() bool {
		return apierrors.IsNotFound(a.admin.Get(t.Context(), client.ObjectKey{Name: "w1"}, &corev1.Node{}))
	})
	object := lease("gardener-node-agent-w1")
	if err := a.admin.Get(t.Context(), client.ObjectKeyFromObject(object), object); !apierrors.IsNotFound(err) {
		t.Errorf("its Lease is there: %v", err)
	}
	list := &certificatesv1.CertificateSigningRequestList{}
	check(t, a.admin.List(t.Context(), list))
	for i := range list.Items {
		if node, _ := certificate.For(&list.Items[i]); node == "w1" {
			t.Errorf("its request %s is there", list.Items[i].Name)
		}
	}
	if len(list.Items) == 0 {
		t.Error("others' requests are gone")
	}
	check(t, a.admin.Get(t.Context(), client.ObjectKey{Name: "w2"}, &corev1.Node{}))
}

func daemonSet(name string) *appsv1.DaemonSet {
	labels := map[string]string{"node.gardener.cloud/critical-component": "true", "app": name}
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: labels},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: name, Image: name}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			}},
		},
	}
}

func podOf(set *appsv1.DaemonSet, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: set.Name + "-" + node, Labels: set.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: set.Name, UID: set.UID, Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: node, Containers: set.Spec.Template.Spec.Containers, Tolerations: set.Spec.Template.Spec.Tolerations},
	}
}

// clientRequest is a request for the certificate of a node's kubelet, or of its agent.
func clientRequest(t *testing.T, name, node string, agent bool) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	subject, signer := pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, certificatesv1.KubeAPIServerClientKubeletSignerName
	if agent {
		subject = pkix.Name{CommonName: agentOf + node, Organization: []string{agents, secret.NodeAgentPoolGroup("workers")}}
		signer = certificatesv1.KubeAPIServerClientSignerName
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: requestFor(t, &x509.CertificateRequest{Subject: subject}), SignerName: signer,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}
}

// ask sends a request to the gardenlet, as whoever has the certificate.
func (r *running) ask(t *testing.T, method, path string, shown *tls.Certificate) (status int, body string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.disk.files[layout.FileKubeletCA])
	config := &tls.Config{RootCAs: roots}
	if shown != nil {
		config.Certificates = []tls.Certificate{*shown}
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://"+r.address+path, nil)
	check(t, err)
	response, err := (&http.Client{Transport: transport}).Do(request)
	check(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	check(t, err)
	return response.StatusCode, string(raw)
}
