package nodeagent

import (
	"context"
	"errors"
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
		pair := pairOf(set, "x")
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

func pairOf(set secret.Set, name string) string {
	return string(set.Get(name, "", secret.DataCert)) + string(set.Get(name, "", secret.DataKey))
}

// What the kubelet cannot mend itself, the agent does: a certificate that a power cut left empty, and on a control plane node one that was
// issued while the clock was ahead.
func TestLostCertificates(t *testing.T) {
	made := func(when time.Time) func() time.Time { return func() time.Time { return when } }
	store := &secret.Memory{}
	issue := func(name string, when time.Time) secret.Set {
		set, err := secret.Issuer{Store: store, Now: made(when)}.Ensure(t.Context(), []secret.Spec{
			secret.Authority(secret.AuthorityClient), {Name: name, Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: name, ValidDays: 30},
		})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	now := time.Now()
	set := issue("good", now)
	good, future := pairOf(set, "good"), pairOf(issue("future", now.AddDate(1, 0, 0)), "future")
	for name, c := range map[string]struct {
		agent, kubelet string
		worker         bool
		here, asked    bool // who renews
	}{
		"all is well":                     {agent: good, kubelet: good},
		"empty":                           {agent: good, kubelet: "", here: true},
		"missing":                         {agent: good, kubelet: "-", here: true},
		"garbage":                         {agent: good, kubelet: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", here: true},
		"of a clock that was ahead":       {agent: future, kubelet: future, here: true},
		"empty on a worker":               {agent: good, kubelet: "", worker: true, asked: true},
		"clock that is behind, on worker": {agent: future, kubelet: future, worker: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newAPI(), "cp-1", "control-plane")
			w.write(layout.FileAgentCert, c.agent, 0o600)
			w.write(layout.FileKubeletCert, c.kubelet, 0o600)
			if c.kubelet == "-" {
				w.must(w.fake.Host().Files.Remove(t.Context(), layout.FileKubeletCert))
			}
			if !c.worker {
				w.write(layout.DirAuthorities+"/ca-client.crt", string(set.Get(secret.AuthorityClient, "", secret.DataCACert)), 0o600)
				w.write(layout.DirAuthorities+"/ca-client.key", string(set.Get(secret.AuthorityClient, "", secret.DataCAKey)), 0o600)
			}
			w.write("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/bin/x\n", 0o644)
			w.must(w.fake.Host().Units.Reload(t.Context()))
			asked := false
			o := Options{Host: w.fake.Host(), Log: slog.New(slog.DiscardHandler), Renewal: func(context.Context) (string, error) {
				asked = true
				return "", errors.New("asked")
			}}
			who, err := readIdentity(t.Context(), o)
			w.must(err)
			lost := &certificates{daemon: &daemon{Options: o, node: w.node, identity: who}, share: renewAt}
			if err := lost.look(t.Context()); asked != c.asked || (err != nil) != c.asked {
				t.Fatalf("asked %t, %v", asked, err)
			}
			for _, file := range []string{layout.FileAgentCert, layout.FileKubeletCert} {
				fresh, err := readPair(t.Context(), o, file)
				if (c.asked || c.worker) && file == layout.FileKubeletCert {
					continue
				}
				w.must(err)
				if valid := now.After(fresh.Leaf.NotBefore) && now.Before(fresh.Leaf.NotAfter); valid == c.worker && c.agent == future {
					t.Errorf("%s is valid from %s", file, fresh.Leaf.NotBefore)
				}
			}
			if c.here && !slices.Contains(w.fake.Log(), "restart "+layout.UnitKubelet) {
				t.Errorf("the kubelet does not know: %v", w.fake.Log())
			}
		})
	}
}
