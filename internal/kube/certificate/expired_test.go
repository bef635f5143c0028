package certificate_test

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// authority signs certificates of clients.
type authority struct{ store *secret.Memory }

func (a authority) issue(t *testing.T, at time.Time, spec secret.Spec) []byte {
	t.Helper()
	set, err := secret.Issuer{Store: a.store, Now: func() time.Time { return at }}.Ensure(t.Context(), []secret.Spec{secret.Authority(secret.AuthorityClient), spec})
	if err != nil {
		t.Fatal(err)
	}
	if spec.Kind == secret.CA {
		return set.Get(spec.Name, "", secret.DataCACert)
	}
	return set.Get(spec.Name, "", secret.DataCert)
}

func parsed(t *testing.T, pemData []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(pemData)
	out, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func agentSpec() secret.Spec {
	return secret.Spec{
		Name: "agent", Kind: secret.Client, Signer: secret.AuthorityClient, ValidDays: 30, CommonName: agentUser, Organization: []string{agents, workers},
	}
}

// TestNodeAgentOf: a certificate that has expired says who its owner was, for 400 days; another one says nothing.
func TestNodeAgentOf(t *testing.T) {
	ours := authority{&secret.Memory{}}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ours.issue(t, clock(), secret.Authority(secret.AuthorityClient)))
	day := func(n int) time.Time { return clock().AddDate(0, 0, n) }
	change := func(change func(*secret.Spec)) secret.Spec { spec := agentSpec(); change(&spec); return spec }
	for name, c := range map[string]struct {
		by   authority
		spec secret.Spec
		at   time.Time
		want string
	}{
		"good":              {ours, agentSpec(), day(1), ""},
		"expired":           {ours, agentSpec(), day(40), ""},
		"expired long ago":  {ours, agentSpec(), day(30 + 399), ""},
		"expired too long":  {ours, agentSpec(), day(30 + 401), "too long ago"},
		"not valid yet":     {ours, agentSpec(), day(-1), "not valid before"},
		"of somebody else":  {authority{&secret.Memory{}}, agentSpec(), day(1), "not one of this cluster's clients"},
		"a server's":        {ours, change(func(s *secret.Spec) { s.Kind = secret.Server }), day(1), "not one of this cluster's clients"},
		"a kubelet's":       {ours, change(func(s *secret.Spec) { s.CommonName = "system:node:machine-1" }), day(1), "not for a node agent"},
		"of no pool":        {ours, change(func(s *secret.Spec) { s.Organization = []string{agents} }), day(1), "organization"},
		"of two pools":      {ours, change(func(s *secret.Spec) { s.Organization = []string{agents, workers, controller} }), day(1), "organization"},
		"of no node":        {ours, change(func(s *secret.Spec) { s.CommonName = "gardener.cloud:node-agent:machine:" }), day(1), "common name"},
		"of administrators": {ours, change(func(s *secret.Spec) { s.Organization = []string{agents, workers, "system:masters"} }), day(1), "organization"},
	} {
		t.Run(name, func(t *testing.T) {
			node, pool, err := certificate.NodeAgentOf(parsed(t, c.by.issue(t, clock(), c.spec)), roots, c.at)
			switch {
			case c.want == "" && (err != nil || node != "machine-1" || pool != "workers"):
				t.Errorf("got %q, %q, %v", node, pool, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || node+pool != ""):
				t.Errorf("got %q, %q, %v; want an error with %q", node, pool, err, c.want)
			}
		})
	}
}

func TestCheckRenewal(t *testing.T) {
	shown := parsed(t, authority{&secret.Memory{}}.issue(t, clock(), agentSpec()))
	made := func(at time.Time, change func(*corev1.Node)) *corev1.Node {
		node := live()
		node.CreationTimestamp, node.Labels = metav1.NewTime(at), map[string]string{"worker.gardener.cloud/pool": "workers"}
		change(node)
		return node
	}
	nothing := func(*corev1.Node) {}
	for name, c := range map[string]struct {
		node *corev1.Node
		want string
	}{
		"its node":                  {made(clock(), nothing), ""},
		"init's, before the Node":   {made(clock().Add(50*time.Minute), nothing), ""},
		"another node of its name":  {made(clock().Add(70*time.Minute), nothing), "older than the Node"},
		"a node of another pool":    {made(clock(), func(n *corev1.Node) { n.Labels["worker.gardener.cloud/pool"] = "other" }), "is in pool"},
		"a node without a pool":     {made(clock(), func(n *corev1.Node) { n.Labels = nil }), "is in pool"},
		"a node that leaves":        {made(clock(), func(n *corev1.Node) { n.Annotations[certificate.AnnotationLeaving] = "true" }), "leave"},
		"a node that is on its way": {made(clock(), func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: clock()} }), "leave"},
	} {
		t.Run(name, func(t *testing.T) {
			err := certificate.CheckRenewal(shown, "workers", c.node)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
