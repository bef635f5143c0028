package nodeagent

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// running is a worker with its first configuration.
func running(t *testing.T, change ...func(*corev1.Node)) *world {
	t.Helper()
	w := newWorld(t, newAPI(), "w1", "workers")
	w.publish(configuration("a=1"))
	w.register(change...)
	w.run()
	pass(2 * time.Second)
	w.fake.ClearLog()
	return w
}

func TestRestartsThatTheNodeAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		ask := func(units string) {
			w.change(func(n *corev1.Node) { n.Annotations[annotationRestart] = units })
			pass(time.Second)
		}
		ask("kubelet, unknown.service ,/etc/passwd,,systemd-sysctl.service")
		_, asked := w.get().Annotations[annotationRestart]
		w.expect(!asked, "the wish still stands")
		_, worker := w.get().Labels["node-role.kubernetes.io/worker"]
		w.expect(worker && w.applied() != "", "labels and annotations are lost: %v", w.get().ObjectMeta)
		w.expect(w.count("restart "+layout.UnitKubelet) == 1 && w.count("restart systemd-sysctl.service") == 1, "not restarted once")
		w.expect(len(w.events("UnitRestartFailed")) == 1, "events %q", w.events("UnitRestartFailed"))
		ask("kubelet")
		w.expect(w.count("restart "+layout.UnitKubelet) == 2, "the same wish is not granted again")
		ask("gardener-node-agent.service")
		w.expect(errors.Is(w.ended, ErrRestart), "the agent ended with %v", w.ended)
		_, asked = w.get().Annotations[annotationRestart]
		w.expect(!asked, "the next agent would end, too")
	})
}

// TestIdleNode: what an agent asks the API when nothing happens.
func TestIdleNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		pass(5 * time.Minute)
		w.api.count()
		pass(10 * time.Minute)
		asked := w.api.count()
		renewals := asked["update *v1.Lease"]
		w.expect(renewals >= 55 && renewals <= 66, "%d renewals in ten minutes", renewals)
		watches := asked["watch *v1.NodeList"] + asked["watch *v1.SecretList"] + asked["watch *v1.ConfigMapList"]
		w.expect(watches >= 3 && watches <= 7, "%d watches in ten minutes", watches)
		watches += asked["get *v1.Node"] // one for each watch of it
		w.expect(asked["get *v1.Node"] <= asked["watch *v1.NodeList"], "asked %v", asked)
		all := 0
		for _, n := range asked {
			all += n
		}
		w.expect(all == renewals+watches, "it asks for more: %v", asked)
		w.expect(len(w.fake.Log()) == 0, "an idle node is changed")
		lease := &coordinationv1.Lease{}
		w.must(w.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardener-node-agent-w1"}, lease))
		w.expect(*lease.Spec.LeaseDurationSeconds == 40 && lease.OwnerReferences[0].Name == "w1", "lease %v", lease)
	})
}

func TestLeaseOfANodeThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		w.change(func(n *corev1.Node) { n.Annotations["node.gardenadm.dev/leaving"] = "true" })
		w.must(w.api.Delete(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "gardener-node-agent-w1"}}))
		pass(time.Minute)
		w.expect(w.holder("gardener-node-agent-w1") == "", "the lease is made again")
	})
}

// TestNodeThatIsGone: a Node that was deleted while nobody could hear of it is gone for the agent, too.
func TestNodeThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		w.api.setAway(true)
		pass(11 * time.Minute) // the watch has ended
		w.must(w.api.WithWatch.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}}))
		w.must(w.api.WithWatch.Delete(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "gardener-node-agent-w1"}}))
		w.api.setAway(false)
		w.api.count()
		pass(5 * time.Minute)
		w.expect(w.holder("gardener-node-agent-w1") == "", "the lease is made again")
		asked := w.api.count()
		w.expect(asked["create *v1.Lease"] == 0 && asked["get *v1.Lease"] < 10, "asked %v", asked)

		w.register(func(n *corev1.Node) { n.UID = "another" })
		pass(time.Minute)
		lease := &coordinationv1.Lease{}
		w.must(w.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "gardener-node-agent-w1"}, lease))
		w.expect(lease.OwnerReferences[0].UID == "another" && w.applied() != "", "lease %v, applied %q", lease, w.applied())
	})
}

func (w *world) unitsReady() corev1.NodeCondition {
	if found := conditionOf(w.get(), "SystemdUnitsReady"); found != nil {
		return *found
	}
	return corev1.NodeCondition{}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		pass(2 * time.Minute)
		w.expect(w.unitsReady().Reason == "AllUnitsHealthy" && w.unitsReady().Status == corev1.ConditionTrue, "condition %v", w.unitsReady())

		w.answers(kubeletHealth(), errors.New("no answer"))
		pass(10 * time.Minute)
		w.expect(w.unitsReady().Reason == "UnhealthyUnits" && strings.Contains(w.unitsReady().Message, "kubelet.service does not answer"), "condition %v", w.unitsReady())
		restarts := w.count("restart " + layout.UnitKubelet)
		w.expect(restarts >= 2 && restarts <= 6, "%d restarts in ten minutes", restarts)
		w.answers(kubeletHealth(), nil)
		pass(2 * time.Minute)
		w.expect(w.unitsReady().Reason == "AllUnitsHealthy", "condition %v", w.unitsReady())

		w.fake.SetUnit(layout.UnitKubelet, host.UnitState{Load: "loaded", Active: "activating", Enabled: true}, host.UnitRun{})
		w.fake.ClearLog()
		pass(2 * time.Minute)
		w.expect(w.unitsReady().Reason == "ProgressingUnits" && w.count("restart "+layout.UnitKubelet) == 0, "condition %v", w.unitsReady())
		pass(6 * time.Minute)
		w.expect(w.count("restart "+layout.UnitKubelet) == 1 && w.unitsReady().Reason == "AllUnitsHealthy", "a stuck unit is not restarted once: %v", w.unitsReady())
		w.expect(ready(w.get()), "the kubelet's condition is lost")
	})
}

// hung is a containerd that answers nobody until it is restarted.
type hung struct{ host.Images }

func (hung) Ready(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h hung) List(ctx context.Context) ([]host.Image, error) { return nil, h.Ready(ctx) }

// TestHungRuntime: a containerd that hangs is restarted like one that refuses, and keeps nobody from looking after the rest.
func TestHungRuntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.images = hung{w.fake.Host().Images}
		content := "[Service]\nExecStart=/opt/bin/containerd\n"
		w.publish(configuration("a=1", func(c *extensionsv1alpha1.OperatingSystemConfig) {
			c.Spec.Units = append(c.Spec.Units, extensionsv1alpha1.Unit{Name: layout.UnitContainerd, Enable: new(true), Content: &content})
		}))
		raw, err := image.EncodeWanted([]image.Wanted{{Image: "registry/pause:1", When: image.Join}})
		w.must(err)
		w.write(layout.FileImages, string(raw), 0o644)
		w.register()
		w.run()
		pass(2 * time.Second)
		w.fake.ClearLog()
		pass(3 * time.Minute)
		w.expect(w.count("restart "+layout.UnitContainerd) > 0, "containerd is not restarted")
		w.expect(strings.Contains(w.unitsReady().Message, layout.UnitContainerd+" does not answer"), "condition %v", w.unitsReady())
		w.expect(strings.Contains(w.log.String(), "the node lacks images"), "the look at the images never ends")
	})
}

func TestImagesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		raw, err := image.EncodeWanted([]image.Wanted{{Image: "registry/pause:1", When: image.Join}})
		w.must(err)
		w.write(layout.FileImages, string(raw), 0o644)
		pass(90 * time.Second)
		w.expect(w.supply.has("registry/pause:1") && len(w.events("ImageRestored")) == 0, "events %q", w.events("ImageRestored"))
		pass(2 * time.Minute) // the fake supply brings nothing, so it is missing again
		w.expect(len(w.events("ImageRestored")) == 1 && strings.Contains(w.events("ImageRestored")[0], "registry/pause:1"), "events %q", w.events("ImageRestored"))
		w.supply.fail(errors.New("no mirror answers"))
		pass(10 * time.Minute)
		w.expect(strings.Count(w.log.String(), "no mirror answers") == 1, "the log repeats itself")
	})
}

// TestImagesOfANewNode: they are init's or join's to bring, until the cluster has published a configuration.
func TestImagesOfANewNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		raw, err := image.EncodeWanted([]image.Wanted{{Image: "registry/pause:1", When: image.Join}})
		w.must(err)
		w.write(layout.FileImages, string(raw), 0o644)
		w.run()
		pass(2 * time.Minute)
		w.expect(!w.supply.has("registry/pause:1"), "the agent pulls what init imports")
		w.publish(configuration("a=1"))
		pass(10 * time.Second)
		w.expect(w.supply.has("registry/pause:1"), "the image does not come")
	})
}

func TestEndpointsAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: endpointsName}, Data: map[string]string{
			endpointsKey: `{"generation":1,"sequence":2,"servers":[{"node":"cp1","addresses":["192.0.2.1:6443"]}]}`,
		}}
		w.must(w.api.Create(t.Context(), object))
		pass(time.Second)
		w.expect(len(w.told) == 1 && w.told[0].Sequence == 2, "told %v", w.told)
		object.Data[endpointsKey] = "{}"
		w.must(w.api.Update(t.Context(), object))
		pass(time.Second)
		w.expect(len(w.told) == 1 && strings.Contains(w.log.String(), "cannot be read"), "a list without servers is handed over")
	})
}

// TestTokens: a token comes to its file, follows its Secret, and is never told; one that is missing is asked for again.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		w.write(layout.FileAgentConfig, w.read(layout.FileAgentConfig)+"  token: {syncPeriod: 10m, syncConfigs: [{secretName: scheduler, path: /token}]}\n", 0o600)
		w.run()
		pass(time.Minute)
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "scheduler"}}
		for _, token := range []string{"", "first-token", "second-token"} {
			if token != "" {
				object.Data = map[string][]byte{dataToken: []byte(token)}
			}
			if w.api.Update(t.Context(), object) != nil {
				w.must(w.api.Create(t.Context(), object))
			}
			pass(12 * time.Minute)
			info, err := w.fake.Host().Files.Stat(t.Context(), "/token")
			if token == "" {
				w.expect(errors.Is(err, fs.ErrNotExist), "there is a file without a token")
				continue
			}
			w.must(err)
			w.expect(w.read("/token") == token && info.Mode.Perm() == 0o640, "the file has mode %v and %q", info.Mode, w.read("/token"))
		}
		w.fake.ClearLog()
		pass(30 * time.Minute)
		w.expect(w.count("write /token") == 0, "a token that is as it should be is written again")
		w.expect(!strings.Contains(w.log.String(), "-token"), "the log shows a token")
		w.expect(strings.Count(w.log.String(), "a token cannot be written") == 2, "missing tokens are not told, each once")
	})
}

func TestRenamedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		w.write(fileHostName, "other\n", 0o644)
		pass(time.Minute)
		f, ok := errors.AsType[*fault.Error](w.ended)
		w.expect(ok && f.Code == fault.HostRenamed, "ended with %v", w.ended)
		w.run()
		w.write(fileSysctl, "a=2", 0o644)
		pass(10 * time.Minute)
		w.expect(w.ended == nil && w.read(fileSysctl) == "a=2", "a renamed machine is kept, ended with %v", w.ended)
		w.write(fileHostName, "W1\n", 0o644)
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "a=1", "the machine has its name again and is not kept")
	})
}

func TestLoadErrors(t *testing.T) {
	tests := map[string]struct {
		path, content string
		want          fault.Code
	}{
		"no node":           {layout.FileNode, "", fault.NodeIdentity},
		"a node of no pool": {layout.FileNode, `{"name":"w1","addresses":["192.0.2.10"]}`, fault.NodeIdentity},
		"no configuration":  {layout.FileAgentConfig, "", fault.AgentConfiguration},
		"no Secret's name":  {layout.FileAgentConfig, "kind: NodeAgentConfiguration", fault.AgentConfiguration},
		"no kubeconfig":     {layout.FileAgentKubeconfig, "", fault.AgentConfiguration},
		"no certificate":    {layout.FileAgentCert, "hidden", fault.AgentConfiguration},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newAPI(), "w1", "workers")
			w.must(w.fake.Host().Files.Remove(t.Context(), test.path))
			if test.content != "" {
				w.write(test.path, test.content, 0o600)
			}
			_, err := load(t.Context(), Options{Host: w.fake.Host()})
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != test.want || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// requests are those for certificates that the cluster got.
type requests struct {
	mu      sync.Mutex
	signers []string
}

// all returns for which signers they were, sorted.
func (r *requests) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.signers))
}

// sign is the cluster that decides on requests and signs them, for as long as the test runs.
func (w *world) sign(valid time.Duration) *requests {
	out := &requests{}
	signer := newSigner(w.t)
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	go func() {
		for sleep(ctx, 10*time.Second) {
			list := &certificatesv1.CertificateSigningRequestList{}
			if w.api.WithWatch.List(ctx, list) != nil {
				return
			}
			for i := range list.Items {
				request := &list.Items[i]
				if len(request.Status.Certificate) > 0 {
					continue
				}
				out.mu.Lock()
				out.signers = append(out.signers, request.Spec.SignerName)
				out.mu.Unlock()
				request.Status.Certificate = signer.sign(request.Spec.Request, valid)
				_ = w.api.Status().Update(ctx, request)
			}
		}
	}()
	return out
}

func (w *world) certificate(path string) *tls.Certificate {
	w.t.Helper()
	pair, err := readPair(context.Background(), Options{Host: w.fake.Host()}, path)
	w.must(err)
	return pair
}

func TestCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.writeCredentials(time.Hour)
		w.register()
		w.run()
		requests := w.sign(30 * 24 * time.Hour)
		first := w.certificate(layout.FileAgentCert)
		pass(47 * time.Minute)
		w.expect(len(requests.all()) == 0, "renewed too early")
		pass(9 * time.Minute)
		second := w.certificate(layout.FileAgentCert)
		w.expect(len(requests.all()) == 1 && !second.Leaf.Equal(first.Leaf) && len(w.events("CertificateRenewed")) == 1, "%d requests", len(requests.all()))
		info, err := w.fake.Host().Files.Stat(t.Context(), layout.FileAgentCert)
		w.must(err)
		w.expect(info.Mode.Perm() == 0o600, "mode %v", info.Mode)
		w.expect(!strings.Contains(w.log.String(), "PRIVATE"), "the log shows a key")
	})
}

func TestExpiredCertificatesAreRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := running(t)
		w.stop()
		pass(40 * 24 * time.Hour)
		requests := w.sign(30 * 24 * time.Hour)
		asked := 0
		w.renewal = func() (string, error) {
			if asked++; asked < 3 {
				return "", fault.New(fault.RenewalUnreachable, "nobody answers")
			}
			return "abcdef.0123456789abcdef", nil
		}
		w.fake.ClearLog()
		w.run()
		pass(time.Minute)
		w.expect(asked == 3, "asked %d times", asked)
		w.expect(slices.Equal(requests.all(), []string{certificatesv1.KubeAPIServerClientSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName}), "requests %q", requests.all())
		for _, path := range []string{layout.FileAgentCert, layout.FileKubeletCert} {
			pair := w.certificate(path)
			w.expect(time.Now().Before(pair.Leaf.NotAfter) && pair.PrivateKey.(crypto.Signer) != nil, "%s is valid until %s", path, pair.Leaf.NotAfter)
		}
		info, err := w.fake.Host().Files.Stat(t.Context(), layout.FileKubeletCert)
		w.must(err)
		w.expect(strings.HasPrefix(info.Target, "/var/lib/kubelet/pki/kubelet-client-"), "the kubelet's certificate is no link: %v", info)
		w.expect(w.count("restart "+layout.UnitKubelet) == 1, "the kubelet is not restarted once")
		pass(10 * time.Minute)
		w.expect(asked == 3, "asked again")
	})
}
