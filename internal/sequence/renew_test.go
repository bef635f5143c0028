package sequence

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

func TestRenewGraph(t *testing.T) {
	golden.Equal(t, "testdata/renew.txt", []byte((&Renew{}).Graph().String()))
}

func TestRenewNeedsANode(t *testing.T) {
	err := (&Renew{Host: hosttest.New().Host()}).Run(t.Context(), nil)
	if found := fault.Of(err); len(found) == 0 || found[0].Code != fault.NodeIdentity {
		t.Errorf("on a bare machine: %v", err)
	}
}

// issueAt lays an authority and a certificate that was issued then.
func issueAt(t *testing.T, h *host.Host, file string, then time.Time) {
	t.Helper()
	set, err := secret.Issuer{Store: &secret.Memory{}, Now: func() time.Time { return then }}.Ensure(t.Context(), []secret.Spec{
		secret.Authority(secret.AuthorityCluster), {Name: "x", Kind: secret.Server, Signer: secret.AuthorityCluster, CommonName: "x"},
	})
	must(t, err)
	must(t, h.Files.Write(t.Context(), file, bytes.NewReader(set.Get("x", "", secret.DataCert)), 0o600))
	must(t, h.Files.Write(t.Context(), layout.DirAuthorities+"/ca.crt", bytes.NewReader(set.Get(secret.AuthorityCluster, "", secret.DataCACert)), 0o600))
}

// While no API server answers because certificates are over, the node agent makes new ones when it starts. It is started once.
func TestConnectRousesTheNodeAgent(t *testing.T) {
	for name, c := range map[string]struct {
		age  time.Duration
		want int
	}{"over": {400 * 24 * time.Hour, 1}, "valid": {time.Hour, 0}} {
		fake := hosttest.New()
		h := fake.Host()
		must(t, h.Files.Write(t.Context(), "/usr/lib/systemd/system/"+layout.UnitNodeAgent, strings.NewReader("[Service]\nExecStart=/bin/x\n"), 0o644))
		must(t, h.Units.Reload(t.Context()))
		issueAt(t, h, layout.DirStaticPods+"/etcd/server/tls.crt", time.Now().Add(-c.age))
		r := &Renew{Host: h, Since: time.Now()}
		for range 3 {
			if r.connect(t.Context()) == nil {
				t.Fatal("it connects with nobody")
			}
		}
		restarts := 0
		for _, line := range fake.Log() {
			if line == "restart "+layout.UnitNodeAgent {
				restarts++
			}
		}
		if restarts != c.want {
			t.Errorf("%s: the node agent is restarted %d times", name, restarts)
		}
	}
}

func TestNewCertificatesAreWaitedFor(t *testing.T) {
	h := hosttest.New().Host()
	now := time.Now()
	issueAt(t, h, layout.DirStaticPods+"/etcd/server/tls.crt", now.Add(-time.Minute))
	issueAt(t, h, layout.DirAgentCredentials+"/client-current.pem", now.Add(-time.Hour)) // the agent's own
	if err := hoststep.WaitForNewCertificates(t.Context(), h, now); err == nil || !strings.Contains(err.Error(), "etcd/server/tls.crt") {
		t.Errorf("got %v", err)
	}
	issueAt(t, h, layout.DirStaticPods+"/etcd/server/tls.crt", now)
	if err := hoststep.WaitForNewCertificates(t.Context(), h, now); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestReplaceKubeletCertificate(t *testing.T) {
	fake := hosttest.New()
	h := fake.Host()
	must(t, h.Files.Write(t.Context(), "/usr/lib/systemd/system/"+layout.UnitKubelet, strings.NewReader("[Service]\nExecStart=/bin/x\n"), 0o644))
	must(t, h.Units.Reload(t.Context()))
	must(t, h.Files.Write(t.Context(), layout.DirKubelet+"/pki/kubelet-server-current.pem", strings.NewReader("old"), 0o600))
	must(t, hoststep.ReplaceKubeletCertificate(t.Context(), h, []byte("certificate\n"), []byte("key\n")))
	raw, err := h.Files.Read(t.Context(), layout.FileKubeletCert)
	if err != nil || string(raw) != "certificate\nkey\n" {
		t.Errorf("got %q, %v", raw, err)
	}
	if _, err := h.Files.Stat(t.Context(), layout.DirKubelet+"/pki/kubelet-server-current.pem"); err == nil {
		t.Error("the serving certificate stays")
	}
	if !slices.Contains(fake.Log(), "restart "+layout.UnitKubelet) {
		t.Errorf("the kubelet goes on with the old one:\n%s", strings.Join(fake.Log(), "\n"))
	}
}
