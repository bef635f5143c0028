package sequence

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// registering answers restarts of the kubelet: only one that starts registers its Node.
type registering struct {
	host.Units
	register func()
}

func (r registering) Restart(ctx context.Context, name string) error {
	err := r.Units.Restart(ctx, name)
	if err == nil && name == layout.UnitKubelet {
		r.register()
	}
	return err
}

// joinAgain is the story of a machine that was a node of the site, whose kubelet registers when it is restarted.
func (s *site) joinAgain(machine *hosttest.Fake) *Join {
	join := s.join(machine)
	own := *join.Host
	own.Units = registering{own.Units, func() { s.register("machine-0", "192.0.2.10") }}
	join.Host = &own
	return join
}

// expire replaces a certificate in its file by one that is over.
func expire(t *testing.T, machine *hosttest.Fake, write func(context.Context, *host.Host, []byte, []byte) error, user string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	over := time.Now().Add(-time.Minute)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user}, NotBefore: over.Add(-time.Hour), NotAfter: over}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, write(t.Context(), machine.Host(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// A node whose Node was deleted comes back, with its certificates or with others.
func TestJoinDeletedNode(t *testing.T) {
	const agentUser, kubeletUser = "gardener.cloud:node-agent:machine:machine-0", "system:node:machine-0"
	all := publish(t)
	for name, test := range map[string]struct {
		spoil     func(*testing.T, *hosttest.Fake)
		restarted []string
		asked     []string // users for whom there is a new certificate
	}{
		"certificates are valid": {func(*testing.T, *hosttest.Fake) {}, []string{layout.UnitKubelet}, nil},
		"the agent's is over": {func(t *testing.T, m *hosttest.Fake) { expire(t, m, hoststep.WriteAgentCertificate, agentUser) },
			[]string{layout.UnitNodeAgent, layout.UnitKubelet}, []string{agentUser}},
		"the kubelet's is over": {func(t *testing.T, m *hosttest.Fake) { expire(t, m, hoststep.WriteKubeletCertificate, kubeletUser) },
			[]string{layout.UnitKubelet}, []string{kubeletUser}},
		"both are over": {func(t *testing.T, m *hosttest.Fake) {
			expire(t, m, hoststep.WriteAgentCertificate, agentUser)
			expire(t, m, hoststep.WriteKubeletCertificate, kubeletUser)
		}, []string{layout.UnitNodeAgent, layout.UnitKubelet}, []string{agentUser, kubeletUser}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, machine := all.readySite(t), newMachine(t)
				must(t, s.join(machine).Run(t.Context(), nil))
				must(t, s.api.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}}))
				test.spoil(t, machine)
				machine.ClearLog()
				before := kept(t, machine)

				again := s.joinAgain(machine)
				must(t, again.Run(t.Context(), nil))
				if again.Unchanged() {
					t.Error("it says that nothing was changed")
				}
				var restarted []string
				for _, line := range machine.Log() {
					if unit, ok := strings.CutPrefix(line, "restart "); ok {
						restarted = append(restarted, unit)
					}
				}
				if !slices.Equal(restarted, test.restarted) {
					t.Errorf("restarted %q, want %q", restarted, test.restarted)
				}
				for user, file := range kept(t, machine) {
					if asked := file != before[user]; asked != slices.Contains(test.asked, user) || file == "" {
						t.Errorf("%s: has a new certificate: %v, a valid one: %v", user, asked, file != "")
					}
				}
			})
		})
	}
}

// A worker whose list of API servers was lost finds the cluster again.
func TestJoinAgainWithoutEndpoints(t *testing.T) {
	all := publish(t)
	for name, spoil := range map[string]func(*testing.T, host.Files){
		"deleted": func(t *testing.T, f host.Files) { must(t, f.Remove(t.Context(), layout.FileEndpoints)) },
		"damaged": func(t *testing.T, f host.Files) {
			must(t, f.Write(t.Context(), layout.FileEndpoints, strings.NewReader("{"), 0o644))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, machine := all.readySite(t), newMachine(t)
				must(t, s.join(machine).Run(t.Context(), nil))
				files := machine.Host().Files
				spoil(t, files)
				again := s.join(machine)
				must(t, again.Run(t.Context(), nil))
				raw, err := files.Read(t.Context(), layout.FileEndpoints)
				must(t, err)
				known, err := endpoint.DecodeKnown(raw)
				must(t, err)
				if got := known.List.Servers[0].Addresses; !slices.Equal(got, again.Addresses[:1]) || again.Unchanged() {
					t.Errorf("the list names %v; nothing was changed: %v", got, again.Unchanged())
				}
			})
		})
	}
}

// kept are the certificates of the machine that are valid.
func kept(t *testing.T, machine *hosttest.Fake) map[string]string {
	t.Helper()
	out := map[string]string{}
	for file, user := range map[string]string{
		layout.FileAgentCert: "gardener.cloud:node-agent:machine:machine-0", layout.FileKubeletCert: "system:node:machine-0",
	} {
		raw, err := hoststep.KeptIdentity(t.Context(), machine.Host(), file, user)
		must(t, err)
		out[user] = string(raw)
	}
	return out
}

// The address is one of those that a machine keeps.
func TestJoinAgainAtItsAddress(t *testing.T) {
	first, second := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.20")
	both := func(m *hosttest.Fake, addresses ...netip.Addr) {
		var out []host.Address
		for _, one := range addresses {
			out = append(out, host.Address{Link: "eth0", Prefix: netip.PrefixFrom(one, 24), Physical: true, Up: true})
		}
		m.SetNetwork(out, addresses[0])
	}
	synctest.Test(t, func(t *testing.T) {
		s, machine := publish(t).readySite(t), newMachine(t)
		must(t, s.api.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}}))
		s.register("machine-0", second.String())
		both(machine, first, second)
		join := s.join(machine)
		join.NodeIP = second
		must(t, join.Run(t.Context(), nil))

		again := s.join(machine)
		if err := again.Run(t.Context(), nil); err != nil || again.Node.IP() != second {
			t.Errorf("got %s, %v", again.Node.IP(), err)
		}
		asked := s.join(machine)
		asked.NodeIP = first
		if found := fault.Of(asked.Run(t.Context(), nil)); len(found) != 1 || found[0].Code != fault.NodeOfAnother {
			t.Errorf("with another one asked for: got %v", found)
		}
		both(machine, first)
		if found := fault.Of(s.join(machine).Run(t.Context(), nil)); len(found) != 1 || found[0].Code != fault.NodeOfAnother {
			t.Errorf("with its address gone: got %v", found)
		}
	})
}

// A node that is Ready may still be of no use.
func TestJoinWaitsForWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, machine := publish(t).readySite(t), newMachine(t)
		change := func(do func(*corev1.Node)) {
			object := &corev1.Node{}
			if err := s.api.Get(t.Context(), client.ObjectKey{Name: "machine-0"}, object); err != nil {
				t.Error(err)
			}
			do(object)
			if err := s.api.Update(t.Context(), object); err != nil {
				t.Error(err)
			}
		}
		var checksum string
		change(func(n *corev1.Node) {
			checksum = n.Annotations["checksum/cloud-config-data"]
			n.Annotations = nil
			n.Spec.Taints = []corev1.Taint{{Key: "node.gardener.cloud/critical-components-not-ready", Effect: corev1.TaintEffectNoSchedule}}
		})
		var last string
		go func() {
			time.Sleep(time.Minute)
			change(func(n *corev1.Node) { n.Spec.Taints, last = nil, "taint" })
			time.Sleep(time.Minute)
			change(func(n *corev1.Node) {
				n.Annotations, last = map[string]string{"checksum/cloud-config-data": checksum}, "checksum"
			})
		}()
		must(t, s.join(machine).Run(t.Context(), nil))
		if last != "checksum" {
			t.Errorf("join ended after %q", last)
		}
	})
}
