package gardenlet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/daemon/serving"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// asked is a server, and a machine that asks it.
type asked struct {
	api     client.Client
	down    bool // the API does not answer
	files   disk
	store   *secret.Memory
	renewer *renewer
	log     bytes.Buffer
	url     string
}

func ask(t *testing.T, networks ...string) *asked {
	t.Helper()
	a := &asked{files: disk{}, store: &secret.Memory{}}
	a.api = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(member(t)).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if a.down {
				return errors.New("connection refused")
			}
			return c.Get(ctx, key, o, opts...)
		},
	}).Build()
	serves := secret.Spec{Name: "serves", Kind: secret.Server, Signer: secret.AuthorityClient, CommonName: "serves", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	a.issue(t, time.Now().AddDate(-2, 0, 0)) // the authority is older than what it signs
	set := a.issue(t, time.Now(), serves)
	a.files[layout.FileServingCert], a.files[layout.FileServingKey] = set.Get("serves", "", secret.DataCert), set.Get("serves", "", secret.DataKey)
	a.files[layout.FileKubeletCA] = set.Get(secret.AuthorityClient, "", secret.DataCACert)

	log := slog.New(slog.NewTextHandler(&a.log, nil))
	a.renewer = newRenewer(a.api, a.files, log)
	var prefixes []netip.Prefix
	for _, network := range networks {
		prefixes = append(prefixes, netip.MustParsePrefix(network))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	a.url = "https://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		checks := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }) //nolint:errcheck // a test
		if err := serve(ctx, listener, serving.Config(a.files, log), handler(prefixes, a.files, a.renewer, checks, log), log); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return a
}

// member is w1, a worker that has joined a while ago.
func member(t *testing.T) *corev1.Node {
	t.Helper()
	out := workerNode("w1")
	out.CreationTimestamp = metav1.NewTime(time.Now().AddDate(-2, 0, 0))
	return out
}

func (a *asked) issue(t *testing.T, at time.Time, specs ...secret.Spec) secret.Set {
	t.Helper()
	set, err := secret.Issuer{Store: a.store, Now: func() time.Time { return at }}.Ensure(t.Context(), append(specs, secret.Authority(secret.AuthorityClient)))
	must(t, err)
	return set
}

func agentSpec(node, pool string) secret.Spec {
	return secret.Spec{
		Name: "agent", Kind: secret.Client, Signer: secret.AuthorityClient, ValidDays: 30, CommonName: "gardener.cloud:node-agent:machine:" + node,
		Organization: []string{"gardener.cloud:node-agents", "gardener.cloud:node-agents:pool:" + pool},
	}
}

// send asks as whoever has the certificate, nobody when it is nil.
func (a *asked) send(t *testing.T, method, path string, shown *tls.Certificate) (int, string, http.Header) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.files[layout.FileKubeletCA])
	config := &tls.Config{RootCAs: roots}
	if shown != nil { // also one that the server would not ask for
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, a.url+path, nil)
	must(t, err)
	response, err := (&http.Client{Transport: transport}).Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, string(body), response.Header
}

func pair(t *testing.T, set secret.Set, name string) *tls.Certificate {
	t.Helper()
	out, err := tls.X509KeyPair(set.Get(name, "", secret.DataCert), set.Get(name, "", secret.DataKey))
	must(t, err)
	return &out
}

// TestRenewal: a node whose certificate has expired gets a token for itself and its pool, and nothing that shows in the log.
func TestRenewal(t *testing.T) {
	a := ask(t)
	shown := pair(t, a.issue(t, time.Now().AddDate(0, 0, -90), agentSpec("w1", "workers")), "agent")
	status, body, header := a.send(t, http.MethodPost, "/renewal", shown)
	if status != http.StatusOK || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s", status, body)
	}
	var got Renewal
	must(t, json.Unmarshal([]byte(body), &got))
	parsed, err := token.Parse(got.Token)
	must(t, err)
	made, err := token.Store{API: a.api}.Get(t.Context(), parsed.ID)
	must(t, err)
	if want := (token.Binding{Node: "w1", Pool: "workers", Renewal: true}); made.Binding != want || made.Secret != parsed.Secret {
		t.Errorf("the token is for %+v", made.Binding)
	}
	if left := time.Until(got.Expires); left < 5*time.Minute || left > renewalValidity || !made.Expires.Equal(got.Expires) {
		t.Errorf("the token is valid for %s", left)
	}
	object := &corev1.Secret{}
	must(t, a.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "bootstrap-token-" + parsed.ID}, object))
	if len(object.Data["auth-extra-groups"]) > 0 || len(object.Data["usage-bootstrap-signing"]) > 0 {
		t.Error("the token is good for more than renewing")
	}
	if strings.Contains(a.log.String(), parsed.Secret) {
		t.Error("the log shows the token")
	}
}

// TestNoRenewal: nobody else gets a token, and is told why.
func TestNoRenewal(t *testing.T) {
	long := time.Now().AddDate(0, 0, -90)
	for name, c := range map[string]struct {
		spoil  func(*asked, *testing.T)
		shown  func(*asked, *testing.T) *tls.Certificate
		status int
		want   string
	}{
		"without a certificate": {nil, func(*asked, *testing.T) *tls.Certificate { return nil }, http.StatusForbidden, "show the node agent's certificate"},
		"with one of another cluster": {nil, func(_ *asked, t *testing.T) *tls.Certificate {
			return pair(t, (&asked{store: &secret.Memory{}}).issue(t, long, agentSpec("w1", "workers")), "agent")
		}, http.StatusForbidden, "not one of this cluster's clients"},
		"with one that is too old": {nil, func(a *asked, t *testing.T) *tls.Certificate {
			return pair(t, a.issue(t, time.Now().AddDate(0, 0, -431), agentSpec("w1", "workers")), "agent")
		}, http.StatusForbidden, "too long ago"},
		"with an administrator's": {nil, func(a *asked, t *testing.T) *tls.Certificate {
			return pair(t, a.issue(t, long, secret.Admin()), "admin")
		}, http.StatusForbidden, "not for a node agent"},
		"with the server's own": {nil, func(a *asked, t *testing.T) *tls.Certificate {
			shown, err := tls.X509KeyPair(a.files[layout.FileServingCert], a.files[layout.FileServingKey])
			must(t, err)
			return &shown
		}, http.StatusForbidden, "not one of this cluster's clients"},
		"for another pool": {nil, func(a *asked, t *testing.T) *tls.Certificate {
			return pair(t, a.issue(t, long, agentSpec("w1", "control-plane")), "agent")
		}, http.StatusForbidden, "in pool"},
		"for a node that is not there": {nil, func(a *asked, t *testing.T) *tls.Certificate {
			return pair(t, a.issue(t, long, agentSpec("w2", "workers")), "agent")
		}, http.StatusForbidden, "there is no Node w2"},
		"for a node that leaves": {func(a *asked, t *testing.T) {
			node := &corev1.Node{}
			must(t, a.api.Get(t.Context(), client.ObjectKey{Name: "w1"}, node))
			node.Annotations = map[string]string{"node.gardenadm.dev/leaving": "true"}
			must(t, a.api.Update(t.Context(), node))
		}, nil, http.StatusForbidden, "about to leave"},
		"for a former node of the name": {func(a *asked, t *testing.T) {
			must(t, a.api.Delete(t.Context(), member(t)))
			fresh := member(t)
			fresh.CreationTimestamp = metav1.NewTime(time.Now().AddDate(0, 0, -1))
			must(t, a.api.Create(t.Context(), fresh))
		}, nil, http.StatusForbidden, "older than the Node"},
		"without an API":       {func(a *asked, _ *testing.T) { a.down = true }, nil, http.StatusServiceUnavailable, "try again later"},
		"without an authority": {func(a *asked, _ *testing.T) { delete(a.files, layout.FileKubeletCA) }, nil, http.StatusServiceUnavailable, "try again later"},
		"too many nodes":       {func(a *asked, _ *testing.T) { a.renewer.all.SetBurst(0) }, nil, http.StatusServiceUnavailable, "try again later"},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t)
			authority := a.files[layout.FileKubeletCA]
			shown := c.shown
			if shown == nil {
				shown = func(a *asked, t *testing.T) *tls.Certificate {
					return pair(t, a.issue(t, long, agentSpec("w1", "workers")), "agent")
				}
			}
			certificate := shown(a, t)
			if c.spoil != nil {
				c.spoil(a, t)
			}
			ask := *a
			ask.files = disk{layout.FileKubeletCA: authority}
			status, body, header := ask.send(t, http.MethodPost, "/renewal", certificate)
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %q, want %d %q", status, body, c.status, c.want)
			}
			if status == http.StatusServiceUnavailable && header.Get("Retry-After") == "" {
				t.Error("it does not say when to come again")
			}
			list := &corev1.SecretList{}
			must(t, a.api.List(t.Context(), list))
			if len(list.Items) > 0 {
				t.Errorf("there are %d tokens", len(list.Items))
			}
		})
	}
}

// TestRenewalsAreLimited: one node that asks all the time gets a few tokens, and another one gets its own.
func TestRenewalsAreLimited(t *testing.T) {
	a := ask(t)
	other := member(t)
	other.Name = "w2"
	must(t, a.api.Create(t.Context(), other))
	shown := pair(t, a.issue(t, time.Now(), agentSpec("w1", "workers")), "agent")
	for n := range renewalRow + 2 {
		want := http.StatusOK
		if n >= renewalRow {
			want = http.StatusServiceUnavailable
		}
		if status, body, _ := a.send(t, http.MethodPost, "/renewal", shown); status != want {
			t.Errorf("request %d: got %d %s, want %d", n, status, body, want)
		}
	}
	if status, body, _ := a.send(t, http.MethodPost, "/renewal", pair(t, a.issue(t, time.Now(), agentSpec("w2", "workers")), "agent")); status != http.StatusOK {
		t.Errorf("another node: %d %s", status, body)
	}
}

// TestStrangersUseUpNothing: who has no certificate of a node does not keep nodes from renewing theirs.
func TestStrangersUseUpNothing(t *testing.T) {
	a := ask(t)
	a.renewer.all.SetBurst(1)
	a.renewer.all.SetLimit(0)
	admin := pair(t, a.issue(t, time.Now(), secret.Admin()), "admin")
	for range 3 {
		for _, shown := range []*tls.Certificate{nil, admin} {
			if status, body, _ := a.send(t, http.MethodPost, "/renewal", shown); status != http.StatusForbidden {
				t.Errorf("a stranger: %d %s", status, body)
			}
		}
	}
	if status, body, _ := a.send(t, http.MethodPost, "/renewal", pair(t, a.issue(t, time.Now(), agentSpec("w1", "workers")), "agent")); status != http.StatusOK {
		t.Errorf("a node: %d %s", status, body)
	}
}

// TestServesEndpoints: to the nodes' networks, what is on the disk.
func TestServesEndpoints(t *testing.T) {
	list := endpoint.List{Generation: 1, Sequence: 3, Servers: []endpoint.Server{{Node: "cp1", Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.250.0.10:6443")}}}}
	known := func(t *testing.T, files disk) { files.know(t, list) }
	for name, c := range map[string]struct {
		network string
		disk    func(*testing.T, disk)
		status  int
		want    string
	}{
		"a node":          {"127.0.0.0/8", known, http.StatusOK, `"sequence": 3`},
		"somebody else":   {"10.0.0.0/8", known, http.StatusForbidden, "not in the nodes' networks"},
		"nothing is know": {"127.0.0.0/8", func(*testing.T, disk) {}, http.StatusNotFound, "does not know"},
		"damaged":         {"127.0.0.0/8", func(_ *testing.T, files disk) { files[layout.FileEndpoints] = []byte("{") }, http.StatusServiceUnavailable, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, c.network)
			c.disk(t, a.files)
			a.down = true // it does not matter
			status, body, _ := a.send(t, http.MethodGet, "/endpoints", nil)
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %q, want %d %q", status, body, c.status, c.want)
			}
		})
	}
}

// TestPaths: nothing else is answered; checks of machines that join are, from everywhere.
func TestPaths(t *testing.T) {
	a := ask(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/reach/now", http.StatusOK}, {http.MethodPost, "/reach/dial", http.StatusOK}, {http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/renewal", http.StatusMethodNotAllowed}, {http.MethodPost, "/endpoints", http.StatusMethodNotAllowed}, {http.MethodGet, "/renewal/x", http.StatusNotFound},
	} {
		if status, body, _ := a.send(t, c.method, c.path, nil); status != c.status {
			t.Errorf("%s %s: got %d %q, want %d", c.method, c.path, status, body, c.status)
		}
	}
}
