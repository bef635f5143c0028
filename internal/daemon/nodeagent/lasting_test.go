package nodeagent

import (
	"io/fs"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// A control plane node that was off for years asks nobody: the cluster's gardenlets may all be in its own state.
func TestControlPlaneNodeRenewsItsOwnCertificates(t *testing.T) {
	past := func() time.Time { return time.Now().AddDate(-2, 0, 0) }
	set, err := secret.Issuer{Store: &secret.Memory{}, Now: past}.Ensure(t.Context(), []secret.Spec{
		secret.Authority(secret.AuthorityClient), {Name: "x", Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: "x", ValidDays: 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		authority bool
		want      bool
	}{"control plane": {true, true}, "worker": {false, false}} {
		w := newWorld(t, newAPI(), "cp-1", "control-plane")
		pair := string(set.Get("x", "", secret.DataCert)) + string(set.Get("x", "", secret.DataKey))
		for _, file := range []string{layout.FileAgentCert, layout.FileKubeletCert} {
			w.write(file, pair, 0o600)
		}
		if c.authority {
			w.write(layout.DirAuthorities+"/ca-client.crt", string(set.Get(secret.AuthorityClient, "", secret.DataCACert)), 0o600)
			w.write(layout.DirAuthorities+"/ca-client.key", string(set.Get(secret.AuthorityClient, "", secret.DataCAKey)), 0o600)
		}
		w.write("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/bin/x\n", 0o644)
		w.must(w.fake.Host().Units.Reload(t.Context()))
		o := Options{Host: w.fake.Host(), Log: slog.New(slog.DiscardHandler)}
		who, err := readIdentity(t.Context(), o)
		w.must(err)
		certificates := &certificates{daemon: &daemon{Options: o, node: w.node, identity: who}}
		done, err := certificates.renewHere(t.Context(), true, true)
		if err != nil || done != c.want {
			t.Errorf("%s: got %v, %v", name, done, err)
		}
		for _, file := range []string{layout.FileAgentCert, layout.FileKubeletCert} {
			fresh, err := readPair(t.Context(), o, file)
			w.must(err)
			if valid := time.Now().Before(fresh.Leaf.NotAfter); valid != c.want {
				t.Errorf("%s: %s ends at %s", name, file, fresh.Leaf.NotAfter)
			}
		}
		if info, err := w.fake.Host().Files.Stat(t.Context(), layout.FileAgentCert); err != nil || info.Mode.Perm() != fs.FileMode(0o600) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if restarted := slices.Contains(w.fake.Log(), "restart "+layout.UnitKubelet); restarted != c.want {
			t.Errorf("%s: kubelet restarted: %v", name, restarted)
		}
	}
}
