package nodeagent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

const (
	serial    = "reconciliation.osc.node-agent.gardener.cloud/serial=true"
	turnLease = "turn.gardener-node-agent-control-plane"
	podHealth = "https://192.0.2.10:1/readyz"
)

func TestStaticPodsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		w.register()
		w.run()
		checksum := w.publish(configuration("a=1", with(manifest("kube-apiserver", "h1"), manifest("etcd", "h1"))))
		for name, pods := range map[string][]string{
			"none": nil, "one is missing": {"kube-apiserver=h1"}, "one is old": {"kube-apiserver=h1", "etcd=h0"},
			"the old one runs still": {"kube-apiserver=h1", "etcd=h0", "etcd=h1"},
		} {
			w.static(pods...)
			pass(5 * time.Second)
			w.expect(w.applied() == "", "%s: reported as applied", name)
		}
		w.static("kube-apiserver=h1", "etcd=h1")
		w.answers(podHealth, errors.New("not ready"))
		pass(5 * time.Second)
		w.expect(w.applied() == "", "reported as applied while a pod is not ready")
		w.answers(podHealth, nil)
		pass(5 * time.Second)
		w.expect(w.applied() == checksum, "not reported")
		_, ok := w.get().Labels["node-role.kubernetes.io/control-plane"]
		_, worker := w.get().Labels["node-role.kubernetes.io/worker"]
		w.expect(ok && !worker, "labels %v", w.get().Labels)
	})
}

// TestKubeletThatIgnoresAManifestIsRestarted: GA-3047.
func TestKubeletThatIgnoresAManifestIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		w.static("etcd=h1")
		w.publish(configuration("a=1", with(manifest("etcd", "h1"))))
		w.register()
		w.run()
		pass(time.Second)
		w.fake.ClearLog()
		checksum := w.publish(configuration("a=1", with(manifest("etcd", "h2"))))
		pass(50 * time.Second)
		w.expect(w.count("restart "+layout.UnitKubelet) == 0, "the kubelet is restarted while it may still end the old pod")
		pass(20 * time.Second)
		w.expect(w.count("restart "+layout.UnitKubelet) == 1 && len(w.events("UnitRestarted")) == 1, "the kubelet is not restarted once")
		pass(3 * time.Minute)
		w.expect(w.count("restart "+layout.UnitKubelet) == 2, "the kubelet is restarted too often or only once")
		w.static("etcd=h2")
		pass(5 * time.Second)
		w.expect(w.applied() == checksum, "not reported")
	})
}

// TestNodesTakeTurns: the second node begins when the first one is well again, not before.
func TestNodesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newAPI()
		first, second := newWorld(t, shared, "cp1", "control-plane"), newWorld(t, shared, "cp2", "control-plane")
		old := first.publish(configuration("a=1", with(manifest("etcd", "h1"))), serial)
		for _, w := range []*world{first, second} {
			w.static("etcd=h1")
			w.register()
			w.run()
		}
		pass(time.Minute)
		first.expect(first.applied() == old && second.applied() == old && first.holder(turnLease) == "", "the first configuration is not applied everywhere")

		changed := first.publish(configuration("a=1", with(manifest("etcd", "h2"))), serial)
		pass(10 * time.Second)
		ahead, behind := first, second
		if first.holder(turnLease) == "cp2" {
			ahead, behind = second, first
		}
		ahead.expect(ahead.holder(turnLease) == ahead.node.Name, "the turn is of %q", ahead.holder(turnLease))
		ahead.setReady(corev1.ConditionFalse)
		ahead.static("etcd=h2")
		pass(3 * time.Minute)
		ahead.expect(ahead.applied() == old, "a node that is not Ready is reported")
		behind.expect(behind.read(layout.DirManifests+"/etcd.yaml") != ahead.read(layout.DirManifests+"/etcd.yaml"), "both changed")

		ahead.setReady(corev1.ConditionTrue)
		pass(10 * time.Second)
		ahead.expect(ahead.applied() == changed, "not reported")
		behind.expect(behind.holder(turnLease) == behind.node.Name, "the turn is of %q", behind.holder(turnLease))
		behind.static("etcd=h2")
		pass(10 * time.Second)
		behind.expect(behind.applied() == changed && behind.holder(turnLease) == "", "applied %q, the turn is of %q", behind.applied(), behind.holder(turnLease))
	})
}

// TestHolderOfTheTurnDies: the same agent goes on; another node follows only when the holder's is Ready or gone.
func TestHolderOfTheTurnDies(t *testing.T) {
	tests := map[string]struct {
		after func(*world)
		takes bool
	}{
		"its node is Ready": {func(*world) {}, true},
		"its node is not Ready": {func(w *world) {
			w.setReady(corev1.ConditionUnknown)
		}, false},
		"its node is gone":       {func(w *world) { w.must(w.api.Delete(w.t.Context(), w.get())) }, true},
		"it is started again":    {func(w *world) { w.run() }, false},
		"its configuration came": {func(w *world) { w.run(); w.static("etcd=h2") }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				shared := newAPI()
				first, second := newWorld(t, shared, "cp1", "control-plane"), newWorld(t, shared, "cp2", "control-plane")
				first.publish(configuration("a=1", with(manifest("etcd", "h1"))), serial)
				for _, w := range []*world{first, second} {
					w.static("etcd=h1")
					w.register()
					w.run()
				}
				pass(time.Minute)
				second.stop()
				first.publish(configuration("a=1", with(manifest("etcd", "h2"))), serial)
				pass(10 * time.Second)
				first.expect(first.holder(turnLease) == "cp1", "the turn is of %q", first.holder(turnLease))
				first.stop()
				second.run()
				pass(20 * time.Second)
				second.expect(second.holder(turnLease) == "cp1", "the turn was taken at once")
				test.after(first)
				pass(2 * time.Minute)
				second.expect((second.holder(turnLease) == "cp2") == test.takes, "the turn is of %q", second.holder(turnLease))
			})
		})
	}
}

// TestTurnAfterAnOutage: while nobody could ask, the holder could not renew either, so its time begins anew.
func TestTurnAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newAPI()
		first, second := newWorld(t, shared, "cp1", "control-plane"), newWorld(t, shared, "cp2", "control-plane")
		first.publish(configuration("a=1", with(manifest("etcd", "h1"))), serial)
		for _, w := range []*world{first, second} {
			w.static("etcd=h1")
			w.register()
			w.run()
		}
		pass(time.Minute)
		second.stop()
		first.publish(configuration("a=1", with(manifest("etcd", "h2"))), serial)
		pass(10 * time.Second)
		first.stop()
		second.run()
		pass(20 * time.Second)
		shared.setAway(true)
		pass(3 * turnDuration)
		shared.setAway(false)
		pass(turnDuration / 2)
		second.expect(second.holder(turnLease) == "cp1", "the turn was taken after an outage")
		pass(2 * turnDuration)
		second.expect(second.holder(turnLease) == "cp2", "the turn is still of %q", second.holder(turnLease))
	})
}

// TestTurnOutlastsTheAgent: an agent that is started again, and hears late that the pool takes turns, does not end its node's turn while
// the node is not Ready.
func TestTurnOutlastsTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		w.static("etcd=h1")
		old := w.publish(configuration("a=1", with(manifest("etcd", "h1"))), serial)
		w.register()
		w.run()
		pass(time.Minute)
		changed := w.publish(configuration("a=1", with(manifest("etcd", "h2"))), serial)
		pass(10 * time.Second)
		w.expect(w.holder(turnLease) == "cp1", "the turn is of %q", w.holder(turnLease))
		w.setReady(corev1.ConditionFalse)
		w.static("etcd=h2")
		w.stop()

		w.api.secretsAfter = 5 * time.Second
		w.run()
		pass(time.Minute)
		w.expect(w.applied() == old && w.holder(turnLease) == "cp1", "applied %q, the turn is of %q", w.applied(), w.holder(turnLease))
		w.setReady(corev1.ConditionTrue)
		pass(10 * time.Second)
		w.expect(w.applied() == changed && w.holder(turnLease) == "", "applied %q, the turn is of %q", w.applied(), w.holder(turnLease))
	})
}

// TestTurnWithoutAPI: a change that waits for a turn does not keep the node from being kept as it is.
func TestTurnWithoutAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp1", "control-plane")
		old := w.publish(configuration("a=1"), serial)
		w.register()
		w.run()
		pass(time.Minute)
		w.expect(w.applied() == old, "the first configuration is not applied")
		w.api.refuse("get *v1.Lease")
		w.publish(configuration("a=2"), serial)
		w.write(fileSysctl, "a=3", 0o644)
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "a=1" && w.applied() == old, "the setting is %q", w.read(fileSysctl))
		w.expect(len(w.events("OSCFailed")) == 0, "an API that is away is told as a failure of the configuration: %q", w.events("OSCFailed"))
		w.api.refuse("")
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "a=2", "the change does not come")
	})
}

func TestProbeURL(t *testing.T) {
	container := corev1.Container{Ports: []corev1.ContainerPort{{Name: "health", ContainerPort: 2381}}}
	tests := map[string]corev1.HTTPGetAction{
		"http://192.0.2.1:80/healthz":        {Path: "/healthz", Port: intstr.FromInt32(80)},
		"https://127.0.0.1:10257/healthz":    {Path: "/healthz", Port: intstr.FromInt32(10257), Host: "127.0.0.1", Scheme: corev1.URISchemeHTTPS},
		"http://192.0.2.1:2381/readyz?a=b/c": {Path: "/readyz?a=b/c", Port: intstr.FromString("health")},
	}
	for want, get := range tests {
		if got := probeURL(container, &get, "192.0.2.1"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
