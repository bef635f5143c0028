package hosttest

import (
	"net/netip"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Leftovers are what programs make on a machine beside files and units, and leave there when they end.
type Leftovers struct {
	Links     []host.Link
	Addresses []host.Address
	Hops      []host.Hop
	Rules     []string
	Tables    []host.Table
	Mounts    []host.Mount
	Processes []host.Process
	Cgroups   []string
	// Settings of the kernel are set.
	Settings  map[string]string
	Modules   []string
	Sandboxes []host.Sandbox
	Holdings  []host.Holding
}

// newLeftovers are those of a machine that was just installed.
func newLeftovers() Leftovers {
	return Leftovers{
		Links:  []host.Link{{Name: "lo", Kind: "device"}, {Name: "eth0", Kind: "device"}},
		Mounts: []host.Mount{{Path: "/", Type: "ext4", Source: "/dev/vda1"}, {Path: "/proc", Type: "proc", Source: "proc"}, {Path: "/run", Type: "tmpfs", Source: "tmpfs"}},
		Rules:  []string{"0: from all lookup 255", "32766: from all lookup 254", "32767: from all lookup 253"},
		Settings: map[string]string{
			"net/ipv4/ip_forward": "0", "net/ipv4/conf/all/forwarding": "0", "net/ipv4/conf/all/accept_redirects": "0",
			"net/ipv4/conf/all/rp_filter": "0", "vm/overcommit_memory": "0", "vm/max_map_count": "65530", "kernel/panic": "0",
		},
	}
}

// Leave adds what a program leaves, as if it had come about by itself.
func (f *Fake) Leave(more Leftovers) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := &f.left
	left.Links = append(left.Links, more.Links...)
	f.addresses = append(f.addresses, more.Addresses...)
	left.Hops = append(left.Hops, more.Hops...)
	left.Rules = append(left.Rules, more.Rules...)
	left.Tables = append(left.Tables, more.Tables...)
	left.Mounts = append(left.Mounts, more.Mounts...)
	left.Processes = append(left.Processes, more.Processes...)
	left.Cgroups = append(left.Cgroups, more.Cgroups...)
	for setting, value := range more.Settings {
		f.setting(setting, value)
	}
	left.Modules = append(left.Modules, more.Modules...)
	left.Sandboxes = append(left.Sandboxes, more.Sandboxes...)
	left.Holdings = append(left.Holdings, more.Holdings...)
}

// setting does what the kernel does with it: forwarding as a whole changes what stands for all links. The caller holds the lock.
func (f *Fake) setting(setting, value string) {
	settings := f.left.Settings
	if setting == "net/ipv4/ip_forward" && settings[setting] != value {
		settings["net/ipv4/conf/all/forwarding"] = value
		settings["net/ipv4/conf/all/accept_redirects"] = map[string]string{"0": "1", "1": "0"}[value]
	}
	settings[setting] = value
}

// LeaveNode does to the machine what kubelet, containerd and the pods of a control plane node do while they run: there are pods, with
// all that belongs to them.
func (f *Fake) LeaveNode() {
	const state, task = "/run/containerd", "/run/containerd/io.containerd.runtime.v2.task/k8s.io/"
	shim := func(pid int, id string) host.Process {
		return host.Process{PID: pid, Started: 1, Program: "/opt/bin/containerd-shim-runc-v2", Cgroup: "/system.slice/containerd.service",
			Args: []string{"/opt/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", id, "-address", state + "/containerd.sock"}}
	}
	f.Leave(Leftovers{
		Links: []host.Link{
			{Name: "flannel.1", Kind: "vxlan"}, {Name: "cni0", Kind: "bridge"}, {Name: "veth0a1b2c3d", Kind: "veth", Master: "cni0"},
		},
		Addresses: []host.Address{address("flannel.1", "100.96.0.0/32"), address("cni0", "100.96.0.1/24"), address("lo", "240.0.0.1/32")},
		Hops: []host.Hop{
			hop("100.64.0.0/13", "eth0", "static"), hop("100.96.0.0/24", "cni0", "kernel"), hop("100.96.1.0/24", "flannel.1", "boot"),
		},
		Tables: []host.Table{
			{Family: "ip", Name: "kube-proxy", Chains: []string{"services"}, Rules: 40, SHA256: sum([]byte("kube-proxy"))},
			{Family: "ip6", Name: "kube-proxy", Chains: []string{"services"}, Rules: 40, SHA256: sum([]byte("kube-proxy"))},
			{Family: "ip", Name: "flannel-ipv4", Chains: []string{"postrtg"}, Rules: 6, SHA256: sum([]byte("flannel"))},
			{Family: "ip", Name: "cni_hostport", Chains: []string{"hostports"}, SHA256: sum([]byte("hostport"))},
		},
		Mounts: []host.Mount{
			{Path: task + "pod1/rootfs", Type: "overlay", Source: "overlay"},
			{Path: state + "/io.containerd.grpc.v1.cri/sandboxes/pod1/shm", Type: "tmpfs", Source: "shm"},
			{Path: "/run/netns/cni-6f1c2a34-0000-4000-8000-000000000001", Type: "nsfs", Source: "nsfs"},
			{Path: "/var/lib/kubelet/pods/uid1/volumes/kubernetes.io~projected/token", Type: "tmpfs", Source: "tmpfs"},
		},
		Processes: []host.Process{
			shim(901, "pod1"),
			{PID: 902, Started: 1, Program: "/pause", Args: []string{"/pause"}, Contained: true,
				Cgroup: "/kubepods.slice/kubepods-pod1.slice/cri-containerd-pod1.scope"},
			// What a container of somebody else's calls so is none of this machine's.
			{PID: 903, Started: 1, Program: "/opt/bin/kubelet", Args: []string{"/opt/bin/kubelet"}, Contained: true, Cgroup: "/machine.slice/other.scope"},
		},
		Cgroups:   []string{"/kubepods.slice", "/kubepods.slice/kubepods-pod1.slice"},
		Sandboxes: []host.Sandbox{{ID: "pod1", Namespace: "kube-system", Name: "coredns-1"}},
		Holdings:  []host.Holding{{Namespace: "k8s.io", Containers: []string{"pod1"}}},
		Modules:   []string{"br_netfilter", "overlay"},
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	slice := f.known("kubepods.slice") // kubelet makes it without a file
	slice.active, slice.sub = "active", "active"
	for _, file := range []string{
		"/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", state + "/containerd.sock",
		"/run/netns/cni-6f1c2a34-0000-4000-8000-000000000001", "/etc/cni/net.d/10-flannel.conflist",
		"/var/lib/cni/networks/flannel/100.96.0.2", "/var/lib/cni/results/flannel-pod1-eth0", "/var/lib/cni/results/cni-loopback-pod1-lo",
		"/var/lib/kubelet/pods/uid1/etc-hosts", "/var/lib/kubelet/pki/kubelet.crt", "/var/lib/kubelet/cpu_manager_state",
		"/var/log/pods/kube-system_coredns-1_uid1/coredns/0.log", "/var/log/containers/coredns-1.log", "/var/log/kube-apiserver/audit.log",
	} {
		_ = f.tree.put(file, &entry{mode: 0o644, content: []byte("left by a program")}) // no directory has such a name
	}
}

func address(link, prefix string) host.Address {
	return host.Address{Link: link, Prefix: netip.MustParsePrefix(prefix), Up: true}
}

func hop(destination, link, protocol string) host.Hop {
	return host.Hop{Table: 254, Destination: netip.MustParsePrefix(destination), Link: link, Protocol: protocol}
}

// remove takes all elements away that are so, and says whether there were any.
func remove[T any](list *[]T, is func(T) bool) bool {
	before := len(*list)
	*list = slices.DeleteFunc(slices.Clone(*list), is)
	return len(*list) < before
}
