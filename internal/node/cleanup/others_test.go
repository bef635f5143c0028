package cleanup_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// others does what other people do on a machine. At home is what bears names that a node's things bear, too.
func (m machine) others(at string) {
	m.t.Helper()
	for _, file := range []string{
		"/etc/cni/net.d/99-" + at + ".conflist", "/var/lib/cni/networks/" + at + "/10.1.0.2", "/var/lib/cni/results/" + at + "-1-eth0",
		"/opt/cni/bin/" + at, "/opt/bin/" + at, "/opt/" + at + "/file", "/etc/sysctl.d/10-" + at + ".conf", "/etc/containerd/certs.d/" + at + "/hosts.toml",
		"/etc/systemd/system/" + at + ".service", "/run/netns/" + at, "/etc/systemd/journald.conf.d/" + at + ".conf",
		"/etc/gardenadm/" + at + "/shoot.yaml", "/var/lib/gardenadm-" + at + "/backup", "/var/log/gardener-" + at + "/log", "/run/gardenlet-" + at + ".pid",
	} {
		m.write(file, at)
	}
	m.Leave(hosttest.Leftovers{
		Links:     []host.Link{{Name: "docker-" + at, Kind: "bridge"}, {Name: "veth" + at, Kind: "veth", Master: "docker-" + at}},
		Addresses: []host.Address{{Link: "docker-" + at, Prefix: netip.MustParsePrefix("172.17.0.1/16"), Up: true}},
		Hops:      []host.Hop{{Table: 254, Destination: netip.MustParsePrefix("10.9.0.0/16"), Link: "docker-" + at, Protocol: "static"}},
		Tables:    []host.Table{{Family: "inet", Name: at, Chains: []string{"forward"}, Rules: 3, SHA256: strings.Repeat("0", 64)}},
		Mounts:    []host.Mount{{Path: "/run/netns/" + at, Type: "nsfs", Source: "nsfs"}, {Path: "/srv/" + at, Type: "xfs", Source: "/dev/vdb"}},
		Processes: []host.Process{
			{PID: 100 + len(at), Started: 1, Program: "/usr/bin/containerd-shim-runc-v2", Args: []string{"shim", "-namespace", "moby", "-id", at}},
			{PID: 200 + len(at), Started: 1, Program: "/opt/bin/" + at, Args: []string{at}},
		},
	})
}

// theirs are all that others made: what of each kind the machine has, and its files.
func (m machine) theirs(at string) []string {
	m.t.Helper()
	now, err := record.Take(m.t.Context(), m.Host)
	m.must(err)
	var out []string
	for kind, items := range now.Items {
		for item := range items {
			if kind != record.Chain && kind != record.Setting && strings.Contains(item, at) {
				out = append(out, string(kind)+" "+item)
			}
		}
	}
	processes, err := m.Processes.List(m.t.Context())
	m.must(err)
	for _, process := range processes {
		if slices.Contains(process.Args, at) {
			out = append(out, "process "+process.Program)
		}
	}
	slices.Sort(out)
	return out
}

func TestOthersStay(t *testing.T) {
	m := bare(t)
	m.others("before")
	m.become()
	m.others("since")
	before, since := m.theirs("before"), m.theirs("since")
	if len(before) < 20 || len(before) != len(since) {
		t.Fatalf("others have %q and %q", before, since)
	}
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	if now := m.theirs("before"); !slices.Equal(now, before) {
		t.Errorf("what was there before is\n%s\nwas\n%s", strings.Join(now, "\n"), strings.Join(before, "\n"))
	}
	if now := m.theirs("since"); !slices.Equal(now, since) {
		t.Errorf("what came since is\n%s\nwas\n%s", strings.Join(now, "\n"), strings.Join(since, "\n"))
	}
	// What is left is told, and it is theirs.
	for _, line := range m.leftovers() {
		if !strings.Contains(line, "since") {
			t.Errorf("left: %s", line)
		}
	}
}

// What was there before stays even if it is called as ours is.
func TestWhatIsCalledLikeOursStays(t *testing.T) {
	m := bare(t)
	m.Leave(hosttest.Leftovers{
		Links:     []host.Link{{Name: "flannel-v6.1", Kind: "vxlan"}},
		Addresses: []host.Address{{Link: "lo", Prefix: netip.MustParsePrefix("240.1.2.3/32"), Up: true}},
		Tables:    []host.Table{{Family: "inet", Name: "cni_hostport", Rules: 1, SHA256: strings.Repeat("0", 64)}},
		Mounts: []host.Mount{
			{Path: "/var/lib/kubelet", Type: "xfs", Source: "/dev/vdc"}, {Path: "/var/lib/etcd-main", Type: "xfs", Source: "/dev/vdd"},
		},
	})
	m.write("/var/lib/kubelet/lost+found/x", "of the file system")
	m.write("/var/lib/etcd-main/lost+found/x", "of the file system")
	m.write("/var/lib/gardener-other/file", "of another program")
	m.write(layout.FileGardenadm, "gardenadm")
	m.become()
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
}

// containerd was there before, as a package, with images and containers.
func withContainerd(t *testing.T) machine {
	t.Helper()
	m := bare(t)
	m.write("/usr/lib/systemd/system/"+layout.UnitContainerd, "[Service]\nExecStart=/usr/bin/containerd\n[Install]\n")
	m.must(m.Units.Reload(t.Context()))
	m.must(m.Units.Start(t.Context(), layout.UnitContainerd))
	m.write(layout.SocketContainerd, "")
	m.write(layout.DirContainerd+"/io.containerd.metadata.v1.bolt/meta.db", "x")
	m.Leave(hosttest.Leftovers{Holdings: []host.Holding{
		{Namespace: "k8s.io", Images: []string{"registry.test/theirs:v1"}}, {Namespace: "moby", Containers: []string{"web"}},
	}})
	return m
}

func TestContainerdOfOthersGoesOn(t *testing.T) {
	m := withContainerd(t)
	m.become()
	m.Leave(hosttest.Leftovers{Holdings: []host.Holding{{Namespace: "k8s.io", Images: []string{"registry.test/ours:v1"}, Containers: []string{"stuck"}}}})
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
	state, err := m.Units.State(t.Context(), layout.UnitContainerd)
	m.must(err)
	if state.Active != "active" || state.NeedsReload {
		t.Errorf("containerd is %+v", state)
	}
	if first(m.Log(), "clear k8s.io") < 0 || first(m.Log(), "clear moby") >= 0 {
		t.Errorf("changes are %q", m.Log())
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		options cleanup.Options
		spoil   func(machine)
		code    fault.Code
	}{
		"undecided about etcd's data": {cleanup.Options{}, func(machine) {}, fault.EtcdDataUndecided},
		"a container beside the pods": {options(), func(m machine) {
			m.Leave(hosttest.Leftovers{Holdings: []host.Holding{{Namespace: "default", Containers: []string{"database"}}}})
		}, fault.ForeignContainers},
		"one that runs, and containerd does not answer": {options(), func(m machine) {
			m.FailOn("holdings", errors.New("boom"))
			m.write("/run/containerd/io.containerd.runtime.v2.task/default/database/address", "x")
		}, fault.ForeignContainers},
	} {
		t.Run(name, func(t *testing.T) {
			m := bare(t)
			m.become()
			c.spoil(m)
			m.ClearLog()
			err := cleanup.New(m.Host, c.options).Run(t.Context(), nil)
			if found := fault.Of(err); len(found) != 1 || found[0].Code != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
			if log := m.Log(); len(log) > 0 {
				t.Errorf("changed %q", log)
			}
		})
	}
}

func TestEtcdDataIsKept(t *testing.T) {
	m := bare(t)
	m.become()
	m.must(cleanup.New(m.Host, cleanup.Options{EtcdData: cleanup.Keep}).Run(t.Context(), nil))
	if !m.there(layout.DirEtcdData) {
		t.Error("etcd's data is gone")
	}
	for _, line := range m.leftovers() {
		if !strings.Contains(line, layout.DirEtcd) {
			t.Errorf("left: %s", line)
		}
	}
}

// A machine that is another tool's node has the same names everywhere.
func TestNodeOfAnotherToolIsLeftAlone(t *testing.T) {
	m := bare(t)
	m.LeaveNode()
	m.write("/etc/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n")
	m.ClearLog()
	work := cleanup.New(m.Host, options())
	m.must(work.Run(t.Context(), nil))
	if log := m.Log(); len(log) > 0 || !work.Nothing() {
		t.Errorf("changed %q", log)
	}
}

func TestChainsOfIptables(t *testing.T) {
	const saved = `*filter
:INPUT ACCEPT [12:340]
:KUBE-FIREWALL - [0:0]
:MINE - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m comment --comment "not -j KUBE-FIREWALL" -j MINE
-A KUBE-FIREWALL -j DROP
COMMIT
*nat
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
`
	m := bare(t)
	m.write("/proc/net/ip_tables_names", "filter\nnat\n")
	const before = "*filter\n:INPUT ACCEPT [0:0]\n:MINE - [0:0]\nCOMMIT\n"
	const podman = "*nat\n:CNI-DN-0123 - [0:0]\n:CNI-HOSTPORT-DNAT - [0:0]\n-A CNI-HOSTPORT-DNAT -j CNI-DN-0123\nCOMMIT\n" // it came since
	input, printed := "", before
	m.OnRun("iptables-legacy-save", func(context.Context, host.Command) (host.Output, error) {
		return host.Output{Stdout: []byte(printed)}, nil
	})
	m.OnRun("iptables-legacy-restore", func(_ context.Context, c host.Command) (host.Output, error) {
		raw, err := io.ReadAll(c.Stdin)
		input, printed = string(raw), before+podman
		return host.Output{}, err
	})
	m.become()
	printed = saved + podman
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
	want := `*filter
-D INPUT -j KUBE-FIREWALL
-F KUBE-FIREWALL
-X KUBE-FIREWALL
COMMIT
*nat
-F KUBE-KUBELET-CANARY
-X KUBE-KUBELET-CANARY
COMMIT
`
	if input != want {
		t.Errorf("iptables-restore gets\n%s, want\n%s", input, want)
	}
}

// With the younger kind of iptables the tables are those of nftables, and go when nothing is left in them.
func TestTablesOfIptables(t *testing.T) {
	m := bare(t)
	m.become()
	table := func(name string, rules int, chains ...string) host.Table {
		return host.Table{Family: "ip", Name: name, Rules: rules, Chains: chains, SHA256: strings.Repeat("0", 64)}
	}
	m.Leave(hosttest.Leftovers{Tables: []host.Table{table("filter", 1, "INPUT", "KUBE-FIREWALL"), table("nat", 0, "PREROUTING"), table("mangle", 1, "FORWARD")}})
	m.OnRun("iptables-nft-save", func(context.Context, host.Command) (host.Output, error) {
		return host.Output{Stdout: []byte("*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\nCOMMIT\n")}, nil
	})
	m.OnRun("iptables-nft-restore", func(ctx context.Context, _ host.Command) (host.Output, error) {
		err := m.Tables.Delete(ctx, "ip", "filter")
		m.Leave(hosttest.Leftovers{Tables: []host.Table{table("filter", 0, "INPUT")}})
		return host.Output{}, err
	})
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	left, err := m.Tables.List(t.Context())
	m.must(err)
	if len(left) != 1 || left[0].Name != "mangle" {
		t.Errorf("tables are %+v, want the one with somebody's rule", left)
	}
}

// TestNamespacesOfOthersKeepTheirDirectoryMounted: `ip netns add` mounts the directory onto itself, and leaves it so.
func TestNamespacesOfOthersKeepTheirDirectoryMounted(t *testing.T) {
	m := bare(t)
	m.become()
	m.Leave(hosttest.Leftovers{Mounts: []host.Mount{{Path: "/run/netns", Type: "tmpfs", Source: "tmpfs"}}})
	work := cleanup.New(m.Host, options())
	m.must(work.Run(t.Context(), nil))
	for _, line := range m.leftovers() {
		if !strings.Contains(line, "/run/netns") {
			t.Errorf("left: %s", line)
		}
	}
}

// TestUnitOfTheUserStays: its name begins as those of ours.
func TestUnitOfTheUserStays(t *testing.T) {
	const unit = "/etc/systemd/system/gardenadm-backup.service"
	for name, forget := range map[string]bool{"remembered": false, "nothing is remembered": true} {
		m := bare(t)
		m.become()
		m.write(unit, "[Service]\nExecStart=/usr/local/bin/backup\n")
		if forget {
			m.must(m.Files.Remove(t.Context(), layout.DirAgent))
		}
		m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
		if !m.there(unit) {
			t.Errorf("%s: it is removed", name)
		}
	}
}

// TestWhatTheUserPutIntoTheStateDirectoryStays: manifests, for example. Alone they do not make a machine a node.
func TestWhatTheUserPutIntoTheStateDirectoryStays(t *testing.T) {
	const manifests = layout.DirState + "/shoot/cluster.yaml"
	m := bare(t)
	m.write(manifests, "kind: Shoot\n")
	m.become()
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
	if !m.there(manifests) {
		t.Error("they are removed")
	}
	m.LeaveNode() // another tool's
	m.ClearLog()
	again := cleanup.New(m.Host, options())
	m.must(again.Run(t.Context(), nil))
	if log := m.Log(); len(log) > 0 || !again.Nothing() {
		t.Errorf("changed %q", log)
	}
}

// TestChainsOfAPodsOwnProgram: the machine has tables of iptables before nftables, and nothing to look at them with.
func TestChainsOfAPodsOwnProgram(t *testing.T) {
	m := bare(t)
	m.become()
	m.write("/proc/net/ip_tables_names", "filter\n")
	m.OnRun("iptables-legacy-save", func(context.Context, host.Command) (host.Output, error) {
		return host.Output{}, &host.RunError{Program: "iptables-legacy-save", ExitCode: -1, Cause: host.ErrNoProgram}
	})
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
}

// TestNamespaceOfAnotherNetworkStays: other users of CNI name theirs as containerd does. A pod that is in their network, too, is a pod.
func TestNamespaceOfAnotherNetworkStays(t *testing.T) {
	const theirs, pods, both = "/run/netns/cni-0a", "/run/netns/cni-0b", "/run/netns/cni-0c"
	m := bare(t)
	m.become()
	for _, file := range []string{theirs, pods, both} {
		m.write(file, "")
		m.Leave(hosttest.Leftovers{Mounts: []host.Mount{{Path: file, Type: "nsfs", Source: "nsfs"}}})
	}
	for result, sandbox := range map[string]string{
		"podman-web-eth0": theirs, "podman-pod2-net1": both, "flannel-pod2-eth0": "/var" + both, "flannel-pod3-eth0": "/var" + pods,
	} {
		m.write("/var/lib/cni/results/"+result, `{"kind":"cniCacheV1","result":{"interfaces":[{"name":"cni1"},{"name":"eth0","sandbox":"`+sandbox+`"}]}}`)
	}
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	for _, line := range m.leftovers() {
		if !strings.Contains(line, "/var/lib/cni") { // what tells of them is told
			t.Errorf("left: %s", line)
		}
	}
	mounts, err := m.Mounts.List(t.Context())
	m.must(err)
	if !m.there(theirs) || !slices.ContainsFunc(mounts, func(mount host.Mount) bool { return mount.Path == theirs }) {
		t.Errorf("it is removed; mounts are %+v", mounts)
	}
	if m.there(pods) || m.there(both) {
		t.Error("one of a pod is left")
	}
}

// TestNamespacesStayWhileNobodyKnowsWhoseTheyAre: another run removes them.
func TestNamespacesStayWhileNobodyKnowsWhoseTheyAre(t *testing.T) {
	const pods = "/run/netns/cni-6f1c2a34-0000-4000-8000-000000000001"
	m := bare(t)
	m.become()
	m.FailOn("list /var/lib/cni/results", errBoom)
	if err := cleanup.New(m.Host, options()).Run(t.Context(), nil); !errors.Is(err, errBoom) || !m.there(pods) {
		t.Errorf("got %v, namespace there: %t", err, m.there(pods))
	}
	m.FailOn("list /var/lib/cni/results", nil)
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
}
