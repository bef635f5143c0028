package nodeagent

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

func TestFirstConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.run()
		checksum := w.publish(configuration("a=1"))
		w.expect(w.read(fileSysctl) == "a=1", "the setting is %q", w.read(fileSysctl))
		info, err := w.fake.Host().Files.Stat(t.Context(), fileLastKnown)
		w.must(err)
		w.expect(info.Mode.Perm() == 0o600 && info.SHA256 == checksum, "the last known configuration is %v", info)

		w.register() // only now: the kubelet was started by the configuration
		pass(time.Second)
		node := w.get()
		w.expect(w.applied() == checksum, "the Node says %q", w.applied())
		for label, want := range map[string]string{
			"node-role.kubernetes.io/worker": "", "topology.kubernetes.io/zone": "a", "worker.gardener.cloud/kubernetes-version": "1.36.3",
		} {
			got, ok := node.Labels[label]
			w.expect(ok && got == want, "label %s is %q", label, got)
		}
		w.expect(len(w.events("OSCApplied")) == 1, "events %q", w.events("OSCApplied"))
		pass(20 * time.Minute)
		w.expect(len(w.events("OSCApplied")) == 1 && len(w.events("FileDrift")) == 0, "an idle node has events")
		w.expect(w.ended == nil, "the agent ended: %v", w.ended)
	})
}

func TestChangeWaitsForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		first := w.publish(configuration("a=1"))
		w.register(func(n *corev1.Node) { n.Annotations["node-agent.gardener.cloud/reconciliation-delay"] = "3m" })
		w.run()
		pass(time.Second)
		w.expect(w.applied() == first, "a node without a configuration waits")

		second := w.publish(configuration("a=2"))
		pass(150 * time.Second)
		w.expect(w.applied() == first && w.read(fileSysctl) == "a=1", "the change came too early")
		w.write(fileSysctl, "a=3", 0o644)
		pass(20 * time.Second)
		pass(15 * time.Second)
		w.expect(w.applied() == second && w.read(fileSysctl) == "a=2", "the change did not come: %s", w.read(fileSysctl))
		w.expect(strings.Count(w.log.String(), "its time to take") == 1, "the wait is told again and again")
	})
}

func TestDriftIsHealedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.publish(configuration("secret=1"))
		w.register()
		w.run()
		pass(time.Second)
		w.write(fileSysctl, "secret=2", 0o644)
		w.must(w.fake.Host().Files.Remove(t.Context(), "/opt/bin/kubelet"))
		w.must(w.fake.Host().Files.Remove(t.Context(), fileLastKnown))
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "secret=1" && w.read("/opt/bin/kubelet") != "" && w.read(fileLastKnown) != "", "the drift is not healed")
		events := w.events("FileDrift")
		w.expect(len(events) == 1 && strings.Contains(events[0], fileSysctl+", /opt/bin/kubelet"), "events %q", events)
		w.expect(!strings.Contains(w.log.String()+strings.Join(events, ""), "secret="), "a content is told")

		w.must(w.fake.Host().Units.Stop(t.Context(), layout.UnitKubelet))
		pass(time.Minute)
		state, err := w.fake.Host().Units.State(t.Context(), layout.UnitKubelet)
		w.must(err)
		w.expect(state.Active == "active" && len(w.events("UnitsStarted")) == 1, "kubelet is %s, events %q", state.Active, w.events("UnitsStarted"))
	})
}

// TestRegistriesOfExtensions: the cluster's mirrors are asked first, this node's own before the others.
func TestRegistriesOfExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "cp2", "control-plane")
		known, err := endpoint.Known{List: endpoint.List{Generation: 1, Sequence: 1, Servers: []endpoint.Server{
			{Node: "cp1", Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:6443")}},
			{Node: "cp2", Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:6443")}},
		}}}.Encode()
		w.must(err)
		w.write(layout.FileEndpoints, string(known), 0o600)
		w.publish(configuration("a=1", func(c *extensionsv1alpha1.OperatingSystemConfig) {
			c.Spec.CRIConfig = &extensionsv1alpha1.CRIConfig{Containerd: &extensionsv1alpha1.ContainerdConfig{Registries: []extensionsv1alpha1.RegistryConfig{
				{Upstream: "quay.io", Hosts: []extensionsv1alpha1.RegistryHost{{URL: "http://10.0.0.2:5000"}}},
			}}}
		}))
		w.register()
		w.run()
		pass(time.Second)
		hosts := w.read(registry.File("quay.io"))
		last := -1
		for _, host := range []string{"192.0.2.2:7444", "192.0.2.1:7444", "10.0.0.2:5000"} {
			at := strings.Index(hosts, host)
			w.expect(at > last, "%s is not asked in its turn:\n%s", host, hosts)
			last = at
		}
	})
}

// TestHungMirror: what needs no image is done all the same.
func TestHungMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.publish(configuration("a=1"))
		w.register()
		w.run()
		pass(time.Second)
		w.supply.hang(true)
		w.must(w.fake.Host().Files.Remove(t.Context(), "/opt/bin/kubelet"))
		w.write(fileSysctl, "a=2", 0o644)
		pass(changeTimeout + time.Minute)
		w.expect(w.read(fileSysctl) == "a=1", "the setting is %q", w.read(fileSysctl))
		w.supply.hang(false)
		pass(changeTimeout + time.Minute)
		w.expect(w.read("/opt/bin/kubelet") != "", "the program does not come back")
	})
}

func TestWithoutAPITheLastConfigurationIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.publish(configuration("a=1"))
		w.register()
		w.run()
		pass(time.Second)
		w.stop()

		w.api.setAway(true)
		w.write(fileSysctl, "a=2", 0o644)
		w.run()
		w.expect(w.read(fileSysctl) == "a=1", "a node without an API is not kept at start")
		w.write(fileSysctl, "a=3", 0o644)
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "a=1", "a node without an API is not kept")
		w.expect(strings.Count(w.log.String(), "connection refused") < 15, "the log repeats itself")

		w.api.setAway(false)
		pass(2 * time.Minute)
		w.expect(len(w.events("FileDrift")) == 1, "what happened without an API is not told once: %q", w.events("FileDrift"))
	})
}

func TestConfigurationThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		first := w.publish(configuration("a=1"))
		w.register()
		w.run()
		pass(time.Second)
		for name, raw := range map[string]string{
			"no YAML":   "spec: {files: [{path: secret",
			"reference": "spec: {files: [{path: /x, content: {secretRef: {name: other, dataKey: x}}}]}",
			"plugins":   "spec: {criConfig: {name: containerd, containerd: {plugins: [{path: [x]}]}}}",
		} {
			w.publishRaw([]byte(raw))
			w.write(fileSysctl, "a=2", 0o644)
			pass(time.Minute)
			w.expect(w.applied() == first && w.read(fileSysctl) == "a=1", "%s: the node is not kept at what it has", name)
		}
		w.expect(len(w.events("OSCFailed")) == 3, "events %q", w.events("OSCFailed"))
		w.expect(!strings.Contains(w.log.String(), "path: secret"), "the log quotes the configuration")
		second := w.publish(configuration("a=4"))
		pass(time.Second)
		w.expect(w.applied() == second, "a good configuration is not taken afterwards")
	})
}

func TestFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.fake.FailOn("restart "+layout.UnitKubelet, errors.New("no luck"))
		checksum := w.publish(configuration("a=1"))
		w.register()
		w.run()
		pass(5 * time.Minute)
		w.expect(w.applied() == "" && len(w.events("OSCFailed")) == 1, "applied %q, events %q", w.applied(), w.events("OSCFailed"))
		w.fake.FailOn("restart "+layout.UnitKubelet, nil)
		pass(2 * time.Minute)
		w.expect(w.applied() == checksum, "it is not tried again")
	})
}

// TestOwnUnit: the agent ends once when its own unit changed, and the next one finds nothing to do.
func TestOwnUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		content := "[Service]\nExecStart=/opt/bin/gardenadm run node-agent\n[Install]\nWantedBy=multi-user.target\n"
		checksum := w.publish(configuration("a=1", func(c *extensionsv1alpha1.OperatingSystemConfig) {
			c.Spec.Units = append(c.Spec.Units, extensionsv1alpha1.Unit{Name: layout.UnitNodeAgent, Enable: new(true), Content: &content})
		}))
		w.register()
		w.run()
		pass(time.Second)
		w.expect(errors.Is(w.ended, ErrRestart), "the agent ended with %v", w.ended)
		w.expect(w.count("restart "+layout.UnitNodeAgent) == 0, "the agent restarts itself in the middle")
		w.run()
		pass(time.Minute)
		w.expect(w.ended == nil && w.applied() == checksum, "the next agent ended with %v, applied %q", w.ended, w.applied())
	})
}

func TestSecretNameFollowsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.publish(configuration("a=1"))
		w.register()
		w.run()
		pass(time.Second)
		other := &world{t: t, api: w.api}
		other.node.Pool = "workers-2"
		other.publish(configuration("a=2"))
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "a=1", "another Secret counts")
		w.change(func(n *corev1.Node) {
			n.Labels["worker.gardener.cloud/gardener-node-agent-secret-name"] = "gardener-node-agent-workers-2"
		})
		pass(time.Minute)
		w.expect(w.read(fileSysctl) == "a=2", "the Secret that the Node names does not count")
	})
}

// TestUnitThatDoesNotStayUpIsSpared: a unit that does not stay up is started less and less often, and files are healed all the same.
func TestUnitThatDoesNotStayUpIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.publish(configuration("a=1"))
		w.register()
		w.run()
		pass(time.Second)
		w.fake.ClearLog()
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Second):
					_ = w.fake.Host().Units.Stop(context.Background(), layout.UnitKubelet)
				}
			}
		}()
		pass(20 * time.Minute)
		starts := w.count("start " + layout.UnitKubelet)
		w.write(fileSysctl, "a=2", 0o644)
		pass(time.Minute)
		close(stop)
		w.expect(starts > 3 && starts < 9, "%d starts in twenty minutes", starts)
		w.expect(w.read(fileSysctl) == "a=1", "the file is not healed")
	})
}

// TestHalfWrittenFilesGo: a killed agent leaves programs and secrets under other names; a command that works here does so itself.
func TestHalfWrittenFilesGo(t *testing.T) {
	for name, busy := range map[string]bool{"nobody else": false, "join is at work": true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, newAPI(), "w1", "workers")
			half := layout.DirBin + "/" + host.TempPrefix + "1"
			w.write(half, "half of a kubelet", 0o600)
			if busy {
				unlock, err := w.fake.Host().Locks.Lock(t.Context(), layout.FileLock)
				w.must(err)
				defer func() { w.must(unlock()) }()
			}
			w.register()
			w.run()
			pass(time.Second)
			_, err := w.fake.Host().Files.Stat(t.Context(), half)
			w.expect(errors.Is(err, fs.ErrNotExist) != busy, "%s: %v", name, err)
		})
	}
}

// TestLayersOfKilledRunsGo: they would lie on the disk for the node's life.
func TestLayersOfKilledRunsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newAPI(), "w1", "workers")
		w.write(layout.DirPulled+"/sha256-1", "layer", 0o600)
		w.register()
		w.run()
		pass(time.Minute)
		_, err := w.fake.Host().Files.Stat(t.Context(), layout.DirPulled)
		w.expect(err == nil, "what may still be needed is removed")
		w.publish(configuration("a=1"))
		pass(time.Minute)
		_, err = w.fake.Host().Files.Stat(t.Context(), layout.DirPulled)
		w.expect(errors.Is(err, fs.ErrNotExist), "it stays: %v", err)
	})
}
