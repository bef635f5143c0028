package gardenlet

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

const (
	// renewalValidity is how long a token lives that is handed out; it is used at once.
	renewalValidity = 10 * time.Minute
	// askTimeout is how long the API may take for an answer to a node.
	askTimeout = 8 * time.Second
	// All nodes together, and each node, may ask so often.
	renewalsPerSecond, renewalBurst = 20, 100
	renewalPause, renewalRow        = 30 * time.Second, 3
)

// renewer gives a node whose certificates expired while it was off a token to ask for new ones.
type renewer struct {
	api   client.Client
	files Files
	log   *slog.Logger
	now   func() time.Time

	all *rate.Limiter
	mu  sync.Mutex
	// each holds nodes that had a certificate of this cluster, and no others.
	each map[string]*rate.Limiter
}

func newRenewer(api client.Client, files Files, log *slog.Logger) *renewer {
	return &renewer{
		api: api, files: files, log: log, now: time.Now,
		all: rate.NewLimiter(renewalsPerSecond, renewalBurst), each: map[string]*rate.Limiter{},
	}
}

// Renewal is the answer to POST /renewal. The token admits requests for the node's agent and kubelet, and for nothing else.
type Renewal struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// refusal is an answer that says no, for good; everything else may be tried again.
type refusal struct{ error }

// ServeHTTP answers a node's agent, who shows its certificate: that it has its key proves who it is, however old it is.
func (n *renewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	var no refusal
	answer, err := n.renew(ctx, r)
	switch {
	case errors.As(err, &no):
		n.log.Warn("renewal refused", "from", r.RemoteAddr, "reason", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	case err != nil:
		n.log.Warn("renewal failed", "from", r.RemoteAddr, "error", err)
		w.Header().Set("Retry-After", fmt.Sprint(int(renewalPause/time.Second)))
		http.Error(w, "try again later, or another control plane node", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(answer) //nolint:errcheck // whoever asked is gone
}

func (n *renewer) renew(ctx context.Context, r *http.Request) (Renewal, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return Renewal{}, refusal{errors.New("show the node agent's certificate")}
	}
	shown := r.TLS.PeerCertificates[0]
	authorities, err := n.authorities(ctx)
	if err != nil {
		return Renewal{}, err
	}
	name, pool, err := certificate.NodeAgentOf(shown, authorities, n.now())
	if err != nil {
		return Renewal{}, refusal{err}
	}
	// Only who has shown that it is a node uses up what nodes may ask for, and none uses up what the others may.
	if !n.limit(name).Allow() {
		return Renewal{}, fmt.Errorf("node %s asks too often", name)
	}
	if !n.all.Allow() {
		return Renewal{}, errors.New("too many nodes ask at once")
	}
	node := &corev1.Node{}
	err = n.api.Get(ctx, client.ObjectKey{Name: name}, node)
	switch {
	case apierrors.IsNotFound(err):
		return Renewal{}, refusal{fmt.Errorf("there is no Node %s any more", name)}
	case err != nil:
		return Renewal{}, fmt.Errorf("get Node %s: %w", name, err)
	}
	if err := certificate.CheckRenewal(shown, pool, node); err != nil {
		return Renewal{}, refusal{err}
	}
	return n.issue(ctx, name, pool)
}

func (n *renewer) issue(ctx context.Context, name, pool string) (Renewal, error) {
	t, err := token.Generate()
	if err != nil {
		return Renewal{}, err
	}
	t.Description = "Used by node " + name + " to replace certificates that have expired"
	t.Expires = n.now().Add(renewalValidity).Truncate(time.Second)
	t.Binding = token.Binding{Node: name, Pool: pool, Renewal: true}
	if err := (token.Store{API: n.api}).Create(ctx, t); err != nil {
		return Renewal{}, err
	}
	n.log.Info("node may renew its certificates", "node", name, "pool", pool, "token", t.ID)
	return Renewal{Token: t.Text(), Expires: t.Expires.UTC()}, nil
}

// authorities are those of clients, as this node's kubelet trusts them.
func (n *renewer) authorities(ctx context.Context) (*x509.CertPool, error) {
	raw, err := n.files.Read(ctx, layout.FileKubeletCA)
	if err != nil {
		return nil, fmt.Errorf("read authority of clients: %w", err)
	}
	out := x509.NewCertPool()
	if !out.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("read authority of clients: there is no certificate in %s", layout.FileKubeletCA)
	}
	return out, nil
}

func (n *renewer) limit(node string) *rate.Limiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.each[node] == nil {
		n.each[node] = rate.NewLimiter(rate.Every(renewalPause), renewalRow)
	}
	return n.each[node]
}
