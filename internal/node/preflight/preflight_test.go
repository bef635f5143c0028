package preflight_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
)

// machine is a machine in memory with short words for what the tests do to it.
type machine struct {
	*hosttest.Fake
	t *testing.T
}

// good returns a machine on which all checks pass.
func good(t *testing.T) machine {
	m := machine{hosttest.New(), t}
	m.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n")
	m.write("/proc/swaps", swapsHead)
	return m
}

const swapsHead = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

func (m machine) write(path, content string) {
	m.t.Helper()
	if err := m.Host().Files.Write(m.t.Context(), path, strings.NewReader(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) facts(change func(*host.Facts)) {
	facts, err := m.Host().Prober.Probe(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	change(&facts)
	m.SetFacts(facts)
}

// start makes a unit that runs.
func (m machine) start(unit string) {
	m.t.Helper()
	m.write("/usr/lib/systemd/system/"+unit, "[Service]\nExecStart=/bin/x\n")
	units := m.Host().Units
	if err := errors.Join(units.Reload(m.t.Context()), units.Start(m.t.Context(), unit)); err != nil {
		m.t.Fatal(err)
	}
}

// own makes the machine one where gardenadm was run before.
func (m machine) own() { m.write(layout.FileShootUID, "uid\n") }

func (m machine) address(link, prefix string) {
	m.SetNetwork([]host.Address{
		{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.10/24"), Physical: true, Up: true},
		{Link: link, Prefix: netip.MustParsePrefix(prefix), Up: true},
	}, netip.MustParseAddr("192.0.2.10"))
}

func (m machine) route(link, destination string) {
	m.SetNetwork([]host.Address{{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.10/24"), Physical: true, Up: true}},
		netip.MustParseAddr("192.0.2.10"), host.Route{Link: link, Destination: netip.MustParsePrefix(destination)})
}

func (m machine) listener(network, address, program string, pid int) {
	m.SetListeners(host.Listener{Network: network, Address: netip.MustParseAddrPort(address), Program: program, PID: pid})
}

func input() preflight.Input {
	return preflight.Input{
		SyncTest: 100 * time.Millisecond, Architecture: "amd64",
		Networks: []preflight.Network{
			{Name: "pods", Prefix: netip.MustParsePrefix("100.96.0.0/11")}, {Name: "services", Prefix: netip.MustParsePrefix("100.64.0.0/13")},
		},
	}
}

func (m machine) run(in preflight.Input) preflight.Report {
	m.t.Helper()
	m.ClearLog()
	report, err := preflight.Run(m.t.Context(), m.Host(), in)
	if err != nil {
		m.t.Fatal(err)
	}
	if log := m.Log(); len(log) > 0 {
		m.t.Errorf("the machine was changed: %q", log)
	}
	return report
}

func TestGoodMachinePasses(t *testing.T) {
	report := good(t).run(input())
	for _, result := range report.Results {
		if result.Status() != "ok" {
			t.Errorf("%s is %s: %v", result.Name, result.Status(), result.Findings[0].Fault)
		}
	}
	alone := slices.DeleteFunc(preflight.Names(), func(name string) bool { return strings.HasPrefix(name, "peer-") })
	if len(report.Results) != len(alone) || report.Err() != nil || report.Address.IP().String() != "192.0.2.10" {
		t.Errorf("%d results, %v, address %s", len(report.Results), report.Err(), report.Address.IP())
	}
}

// faulty are machines with one thing wrong each: the check that finds it, and how. An empty code says that nothing is found.
var faulty = map[string]struct {
	spoil   func(machine)
	check   string
	status  string
	code    fault.Code
	mention string // in cause, evidence or fix
}{
	"not root":     {func(m machine) { m.facts(func(f *host.Facts) { f.Root = false }) }, "root", "fail", fault.NotRoot, ""},
	"no systemd":   {func(m machine) { m.facts(func(f *host.Facts) { f.Systemd = false }) }, "systemd", "fail", fault.NoSystemd, "D-Bus"},
	"arm64":        {func(m machine) { m.facts(func(f *host.Facts) { f.Architecture = "arm64" }) }, "architecture", "fail", fault.OtherArchitecture, "the cluster's are amd64"},
	"riscv64":      {func(m machine) { m.facts(func(f *host.Facts) { f.Architecture = "riscv64" }) }, "architecture", "fail", fault.Architecture, "riscv64"},
	"Linux 5.10":   {func(m machine) { m.facts(func(f *host.Facts) { f.Kernel = "5.10.0-1" }) }, "kernel", "fail", fault.Kernel, "5.10.0-1"},
	"Linux 5.13":   {func(m machine) { m.facts(func(f *host.Facts) { f.Kernel = "5.13-rc1" }) }, "kernel", "ok", "", ""},
	"Linux x":      {func(m machine) { m.facts(func(f *host.Facts) { f.Kernel = "x" }) }, "kernel", "warn", fault.NotChecked, `"x"`},
	"no vxlan":     {func(m machine) { m.FailOn("try vxlan", errors.New("not supported")) }, "kernel-features", "fail", fault.KernelFeature, "modprobe vxlan"},
	"no nftables":  {func(m machine) { m.FailOn("try nf_tables", errors.New("not supported")) }, "kernel-features", "fail", fault.KernelFeature, "nf_tables"},
	"no overlay":   {func(m machine) { m.FailOn("try overlayfs", errors.New("invalid argument")) }, "overlayfs", "fail", fault.Overlay, "invalid argument"},
	"no memory cg": {func(m machine) { m.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu pids") }, "cgroups", "fail", fault.Cgroups, "memory"},
	"cgroup 1": {func(m machine) {
		m.facts(func(f *host.Facts) { f.CgroupVersion = 1 })
		for _, name := range []string{"cpu", "cpuset", "memory", "pids"} {
			m.write("/sys/fs/cgroup/"+name+"/tasks", "")
		}
	}, "cgroups", "warn", fault.OldCgroups, ""},
	"one CPU":       {func(m machine) { m.facts(func(f *host.Facts) { f.CPUs = 1 }) }, "cpu", "warn", fault.FewCPUs, "1 CPU"},
	"1 GiB":         {func(m machine) { m.facts(func(f *host.Facts) { f.Memory = 1 << 30 }) }, "memory", "fail", fault.LittleMemory, "1.0 GiB"},
	"1.8 GiB":       {func(m machine) { m.facts(func(f *host.Facts) { f.Memory = 1800 << 20 }) }, "memory", "warn", fault.LittleMemory, "2 GiB"},
	"a 2 GB server": {func(m machine) { m.facts(func(f *host.Facts) { f.Memory = 1950 << 20 }) }, "memory", "ok", "", ""},
	"swap":          {func(m machine) { m.write("/proc/swaps", swapsHead+"/dev/zram0 partition 1 0 -2\n") }, "swap", "fail", fault.SwapOn, "/dev/zram0"},
	"full disk": {func(m machine) {
		m.SetSpace("/var/lib/containerd", host.Space{Path: "/var/lib/containerd", Device: 2, Free: 64 << 20, Total: 64 << 20})
	}, "disk-space", "fail", fault.LittleSpace, "64 MiB are free for /var/lib/containerd"},
	"needs add up": {func(m machine) { m.SetSpace("/", host.Space{Path: "/", Device: 1, Free: 1 << 30, Total: 8 << 30}) },
		"disk-space", "fail", fault.LittleSpace, "/opt/bin, /var/lib/containerd, /var/lib/etcd-main, /var/lib/kubelet"},
	"small disk": {func(m machine) { m.SetSpace("/", host.Space{Path: "/", Device: 1, Free: 4 << 30, Total: 8 << 30}) },
		"disk-space", "warn", fault.LittleSpace, "have 9.0 GiB"},
	"nearly full": {func(m machine) { m.SetSpace("/", host.Space{Path: "/", Device: 1, Free: 10 << 30, Total: 200 << 30}) },
		"disk-space", "warn", fault.LittleSpace, "evicts"},
	"full disk of ours": {func(m machine) {
		m.own()
		m.SetSpace("/", host.Space{Path: "/", Device: 1, Free: 1 << 20, Total: 8 << 30})
	},
		"disk-space", "warn", fault.LittleSpace, ""},
	"no inodes": {func(m machine) {
		m.SetSpace("/opt", host.Space{Path: "/opt", Device: 3, Free: 9 << 30, Inodes: 10, InodesAll: 1000})
	},
		"inodes", "fail", fault.FewInodes, "10 inodes are free for /opt/bin"},
	"btrfs": {func(m machine) { m.SetSpace("/", host.Space{Path: "/", Device: 1, Free: 50 << 30, Total: 60 << 30}) }, "inodes", "ok", "", ""},
	"read-only /opt": {func(m machine) {
		m.SetSpace("/opt", host.Space{Path: "/opt", Device: 1, Free: 9 << 30, ReadOnly: true})
	},
		"read-only", "fail", fault.ReadOnly, "/opt/bin"},
	"read-only /usr": {func(m machine) { m.SetSpace("/usr", host.Space{Path: "/usr", Device: 4, ReadOnly: true}) }, "read-only", "ok", "", ""},
	"slow disk":      {func(m machine) { m.SetSyncTime(60 * time.Millisecond) }, "disk-latency", "warn", fault.SlowDisk, "leader"},
	"lame disk":      {func(m machine) { m.SetSyncTime(12 * time.Millisecond) }, "disk-latency", "warn", fault.SlowDisk, "12ms"},
	"broken disk":    {func(m machine) { m.FailOn("sync", errors.New("input/output error")) }, "disk-latency", "warn", fault.NotChecked, "input/output error"},
	"SELinux":        {func(m machine) { m.write("/sys/fs/selinux/enforce", "1") }, "security-module", "warn", fault.SecurityModule, ""},
	"AppArmor":       {func(m machine) { m.write("/sys/module/apparmor/parameters/enabled", "Y\n") }, "security-module", "ok", "", ""},
	"1970":           {func(m machine) { m.facts(func(f *host.Facts) { f.Now = time.Unix(60, 0) }) }, "clock", "fail", fault.WrongClock, "1970"},
	"no NTP":         {func(m machine) { m.facts(func(f *host.Facts) { f.ClockSynchronised = false }) }, "clock", "warn", fault.ClockUnsynchronised, ""},
	"localhost":      {func(m machine) { m.facts(func(f *host.Facts) { f.HostName = "localhost" }) }, "host-name", "fail", fault.HostName, `"localhost"`},
	"a_b":            {func(m machine) { m.facts(func(f *host.Facts) { f.HostName = "a_b" }) }, "host-name", "fail", fault.HostName, `"a_b"`},
	"64 characters":  {func(m machine) { m.facts(func(f *host.Facts) { f.HostName = strings.Repeat("a.", 32) }) }, "host-name", "fail", fault.HostName, "64 characters"},
	"CAPITALS.lan":   {func(m machine) { m.facts(func(f *host.Facts) { f.HostName = "CAPITALS.lan" }) }, "host-name", "ok", "", ""},
	"no address":     {func(m machine) { m.SetNetwork(nil, netip.Addr{}) }, "node-address", "fail", fault.NodeAddress, "--node-ip"},
	"tailscale":      {func(m machine) { m.address("tailscale0", "100.101.102.103/32") }, "networks", "fail", fault.NetworksOverlap, "tailscale0"},
	"VPN to pods":    {func(m machine) { m.route("tun0", "100.100.0.0/16") }, "networks", "fail", fault.NetworksOverlap, "100.100.0.0/16"},
	"VPN to all":     {func(m machine) { m.route("tun0", "100.0.0.0/8") }, "networks", "warn", fault.NetworksOverlap, "100.0.0.0/8"},
	"route of ours":  {func(m machine) { m.own(); m.route("eth0", "100.64.0.0/13") }, "networks", "ok", "", ""},
	"bridge of ours": {func(m machine) { m.own(); m.address("cni0", "100.96.0.1/24") }, "networks", "ok", "", ""},
	"port":           {func(m machine) { m.listener("tcp", "0.0.0.0:6443", "haproxy", 77) }, "ports", "fail", fault.PortTaken, "haproxy (pid 77)"},
	"port of kernel": {func(m machine) { m.listener("udp", "0.0.0.0:8472", "", 0) }, "ports", "fail", fault.PortTaken, "kernel"},
	"other protocol": {func(m machine) { m.listener("udp", "0.0.0.0:6443", "x", 77) }, "ports", "ok", "", ""},
	"port of ours":   {func(m machine) { m.own(); m.listener("tcp", "127.0.0.1:10257", "kube-controller", 77) }, "ports", "ok", "", ""},
	"socket of ours": {func(m machine) { m.own(); m.listener("tcp", "240.0.74.43:7443", "systemd", 1) }, "ports", "ok", "", ""},
	"mirror of ours": {func(m machine) { m.own(); m.listener("tcp", "192.0.2.10:7444", "gardenadm", 77) }, "ports", "ok", "", ""},
	"vxlan of ours":  {func(m machine) { m.own(); m.listener("udp", "0.0.0.0:8472", "", 0) }, "ports", "ok", "", ""},
	"port, on ours":  {func(m machine) { m.own(); m.listener("tcp", "127.0.0.1:10257", "nc", 77) }, "ports", "fail", fault.PortTaken, "nc (pid 77)"},
	"firewalld":      {func(m machine) { m.start("firewalld.service") }, "firewall", "warn", fault.FirewallReloads, "firewalld.service"},
	"policy drop": {func(m machine) {
		m.Leave(hosttest.Leftovers{Tables: []host.Table{{Family: "ip", Name: "filter", Chains: []string{"FORWARD"}, Drops: []string{"FORWARD"}}}})
	}, "firewall", "warn", fault.FirewallDrops, "ip filter FORWARD drops"},
	"ufw, off": {func(m machine) { m.start("ufw.service"); m.write("/etc/ufw/ufw.conf", "ENABLED=no\n") },
		"firewall", "ok", "", ""},
	"ufw, on": {func(m machine) { m.start("ufw.service"); m.write("/etc/ufw/ufw.conf", "ENABLED=yes\n") },
		"firewall", "warn", fault.FirewallReloads, "ufw.service"},
	"Docker": {func(m machine) {
		m.write(layout.FileContainerdConf, "# x\ndisabled_plugins = [\"cri\"]\n")
		m.start("docker.service")
	}, "containerd", "fail", fault.ForeignContainerd, "docker.service is active"},
	"containerd": {func(m machine) { m.start("containerd.service") }, "containerd", "warn", fault.ForeignContainerd, "takes its place"},
	"containerd by hand": {func(m machine) {
		m.write("/etc/systemd/system/containerd.service", "[Service]\nExecStart=/usr/local/bin/containerd\n")
	}, "containerd", "fail", fault.ForeignContainerd, "whose unit has its name"},
	"plugins of others":  {func(m machine) { m.write("/opt/cni/bin/bridge", "x") }, "cni", "warn", fault.ForeignCNI, "/opt/cni/bin has bridge"},
	"containerd of ours": {func(m machine) { m.own(); m.write(layout.FileContainerdConf, "version = 3\n") }, "containerd", "ok", "", ""},
	"kubeadm's drop-in": {func(m machine) { m.write("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", "") },
		"kubelet", "fail", fault.ForeignKubelet, "10-kubeadm.conf"},
	"drop-in of ours": {func(m machine) { m.own(); m.write("/etc/systemd/system/kubelet.service.d/50-host-oom.conf", "") }, "kubelet", "ok", "", ""},
	"calico":          {func(m machine) { m.write("/etc/cni/net.d/10-calico.conflist", "") }, "cni", "fail", fault.ForeignCNI, "10-calico.conflist"},
	"podman's CNI":    {func(m machine) { m.write("/etc/cni/net.d/87-podman-bridge.conflist", "") }, "cni", "warn", fault.ForeignCNI, "87-podman"},
	"CNI of ours":     {func(m machine) { m.own(); m.write("/etc/cni/net.d/10-flannel.conflist", "") }, "cni", "ok", "", ""},
	"etcd": {func(m machine) { m.write("/var/lib/etcd/member/snap/db", "") },
		"etcd-data", "fail", fault.ForeignEtcdData, "/var/lib/etcd/member/snap/db"},
	"etcd of ours":   {func(m machine) { m.own(); m.write(layout.DirEtcdData+"/member/snap/db", "") }, "etcd-data", "ok", "", ""},
	"kubeadm":        {func(m machine) { m.write("/etc/kubernetes/manifests/etcd.yaml", "") }, "leftovers", "fail", fault.OtherCluster, "manifests/etcd.yaml"},
	"kubelet's data": {func(m machine) { m.write("/var/lib/kubelet/config.yaml", "") }, "leftovers", "fail", fault.OtherCluster, "/var/lib/kubelet"},
	"empty trees": {func(m machine) {
		if err := m.Host().Files.MakeDir(m.t.Context(), "/etc/kubernetes/manifests", host.Owner{}, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}, "leftovers", "ok", "", ""},
	"cni0":             {func(m machine) { m.address("cni0", "10.244.0.1/24") }, "leftovers", "fail", fault.OtherCluster, "ip link delete cni0"},
	"leftover of ours": {func(m machine) { m.own(); m.write("/etc/kubernetes/admin.conf", "") }, "leftovers", "ok", "", ""},
}

func TestFaultyMachines(t *testing.T) {
	for name, c := range faulty {
		t.Run(name, func(t *testing.T) {
			m := good(t)
			c.spoil(m)
			report := m.run(input())
			at := slices.IndexFunc(report.Results, func(r preflight.Result) bool { return r.Name == c.check })
			got := report.Results[at]
			if got.Status() != c.status {
				t.Fatalf("%s is %s, want %s: %+v", c.check, got.Status(), c.status, got.Findings)
			}
			if (report.Err() != nil) != (c.status == "fail") {
				t.Errorf("the report's error is %v", report.Err())
			}
			if c.code == "" {
				return
			}
			found := got.Findings[0].Fault
			text := strings.Join(append(found.Evidence, found.Error(), found.Fix), "\n")
			entry, _ := fault.Find(c.code)
			if text += entry.Fix; found.Code != c.code || !strings.Contains(text, c.mention) {
				t.Errorf("got %s: %q, want %s with %q", found.Code, text, c.code, c.mention)
			}
			// What a check finds can be skipped, and then nothing is wrong.
			in := input()
			in.Skip = []string{c.check}
			if err := m.run(in).Err(); err != nil {
				t.Errorf("skipped: %v", err)
			}
		})
	}
}

func TestAllFailuresAreReportedTogether(t *testing.T) {
	m := good(t)
	m.facts(func(f *host.Facts) { f.HostName, f.CPUs, f.Architecture = "localhost", 1, "s390x" })
	report := m.run(input())
	var codes []fault.Code
	for _, one := range fault.Of(report.Err()) {
		codes = append(codes, one.Code)
	}
	if want := []fault.Code{fault.Architecture, fault.HostName}; !slices.Equal(codes, want) {
		t.Errorf("failures are %q, want %q", codes, want)
	}
	if warnings := report.Warnings(); len(warnings) != 1 || warnings[0].Code != fault.FewCPUs {
		t.Errorf("warnings are %v", warnings)
	}
}

func TestUnknownCheckIsUsage(t *testing.T) {
	in := input()
	in.Skip = []string{"swap", "colour"}
	_, err := preflight.Run(t.Context(), good(t).Host(), in)
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(err.Error(), "disk-latency") {
		t.Errorf("got %v, want a usage error that lists the checks", err)
	}
}

func TestClockBeforeTheBuild(t *testing.T) {
	in := input()
	in.NotBefore = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) // the machine shows January
	if found := fault.Of(good(t).run(in).Err()); len(found) != 1 || found[0].Code != fault.WrongClock {
		t.Errorf("got %v", found)
	}
}

func TestClusterNetworksOverlapEachOther(t *testing.T) {
	in := input()
	in.Networks[1].Prefix = netip.MustParsePrefix("100.97.0.0/16")
	if found := fault.Of(good(t).run(in).Err()); len(found) != 1 || found[0].Code != fault.NetworksOverlap {
		t.Errorf("got %v", found)
	}
}

func TestWithoutRootNothingIsGuessed(t *testing.T) {
	m := good(t)
	m.facts(func(f *host.Facts) { f.Root = false })
	m.FailOn("try", errors.New("permission denied"))
	m.FailOn("sync", errors.New("permission denied"))
	if found := fault.Of(m.run(input()).Err()); len(found) != 1 || found[0].Code != fault.NotRoot {
		t.Errorf("got %v, want that it is not root alone", found)
	}
}

func TestStuckCheckIsGivenUp(t *testing.T) {
	m := good(t)
	h := m.Host()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		h.Inspector = hanging{h.Inspector, ctx.Done()}
		report, err := preflight.Run(ctx, h, input())
		if err != nil {
			t.Fatal(err)
		}
		warnings := report.Warnings()
		if report.Err() != nil || len(warnings) != 2 || warnings[0].Code != fault.NotChecked || !strings.Contains(warnings[0].Error(), "no answer within 5s") {
			t.Errorf("got %v and %v, want that features and overlayfs were not checked", report.Err(), warnings)
		}
	})
}

// hanging hangs until the test ends, whatever its context says.
type hanging struct {
	host.Inspector
	end <-chan struct{}
}

func (h hanging) Try(context.Context, host.Feature, string) error { <-h.end; return nil }

func TestChooseNodeAddress(t *testing.T) {
	at := func(link, prefix string, physical bool) host.Address {
		return host.Address{Link: link, Prefix: netip.MustParsePrefix(prefix), Physical: physical, Up: true}
	}
	lo := at("lo", "127.0.0.1/8", false)
	eth0, eth1 := at("eth0", "10.0.0.5/24", true), at("eth1", "192.168.1.5/24", true)
	docker := at("docker0", "172.17.0.1/16", false)
	six := at("eth0", "fd00::5/64", true)
	local := at("eth0", "169.254.3.4/16", true)
	down := eth1
	down.Up = false
	none := netip.Addr{}
	for name, c := range map[string]struct {
		addresses     []host.Address
		source, asked netip.Addr
		want          string // address, or part of the error
	}{
		"asked for":                   {[]host.Address{lo, eth0, eth1}, eth0.Prefix.Addr(), eth1.Prefix.Addr(), "192.168.1.5"},
		"asked for, not there":        {[]host.Address{lo, eth0}, none, netip.MustParseAddr("1.2.3.4"), "1.2.3.4 is on none"},
		"asked for loopback":          {[]host.Address{lo, eth0}, none, lo.Prefix.Addr(), "127.0.0.1 is on none"},
		"default route":               {[]host.Address{lo, eth0, eth1}, eth1.Prefix.Addr(), none, "192.168.1.5"},
		"only physical":               {[]host.Address{lo, docker, six, local, eth0}, none, none, "10.0.0.5"},
		"the other link is down":      {[]host.Address{lo, down, eth0}, none, none, "10.0.0.5"},
		"two without default route":   {[]host.Address{lo, eth0, eth1}, none, none, "10.0.0.5/24 (eth0, physical link) 192.168.1.5/24 (eth1, physical link)"},
		"none":                        {[]host.Address{lo, six}, none, none, "no link that is up has a global IPv4"},
		"default route over a bridge": {[]host.Address{lo, docker, eth0}, docker.Prefix.Addr(), none, "172.17.0.1"},
	} {
		got, err := preflight.ChooseNodeAddress(c.addresses, c.source, c.asked)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
			continue
		}
		if got.IP().String() != c.want || got.Why == "" {
			t.Errorf("%s: got %s (%s), want %s", name, got.IP(), got.Why, c.want)
		}
	}
}
