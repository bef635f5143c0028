package fault

import "slices"

// Codes of class Precondition.
const (
	NotRoot             Code = "GA-2001"
	NoSystemd           Code = "GA-2002"
	Architecture        Code = "GA-2003"
	Kernel              Code = "GA-2004"
	HostName            Code = "GA-2005"
	NodeAddress         Code = "GA-2006"
	OtherCluster        Code = "GA-2007"
	KernelFeature       Code = "GA-2008"
	Overlay             Code = "GA-2009"
	Cgroups             Code = "GA-2010"
	OldCgroups          Code = "GA-2011"
	FewCPUs             Code = "GA-2012"
	LittleMemory        Code = "GA-2013"
	LittleSpace         Code = "GA-2014"
	FewInodes           Code = "GA-2015"
	SlowDisk            Code = "GA-2016"
	ReadOnly            Code = "GA-2017"
	SwapOn              Code = "GA-2018"
	SecurityModule      Code = "GA-2019"
	PortTaken           Code = "GA-2020"
	NetworksOverlap     Code = "GA-2021"
	WrongClock          Code = "GA-2022"
	ClockUnsynchronised Code = "GA-2023"
	ForeignContainerd   Code = "GA-2024"
	ForeignEtcdData     Code = "GA-2025"
	ForeignCNI          Code = "GA-2026"
	ForeignKubelet      Code = "GA-2027"
	FirewallReloads     Code = "GA-2028"
	NotChecked          Code = "GA-2029"
	OtherArchitecture   Code = "GA-2030"
	FirewallDrops       Code = "GA-2031"
)

func preconditions() []Entry { return slices.Concat(machines(), disks(), surroundings(), foreigners()) }

// machines: what the machine is and can do.
func machines() []Entry {
	return []Entry{
		{NotRoot, Precondition, "not root",
			"gardenadm writes files of the system, drives systemd and makes network routes.",
			"run the command as root"},
		{NoSystemd, Precondition, "systemd is missing",
			"containerd and kubelet run as systemd units. systemd must be the init system and answer on D-Bus.",
			"use a machine with systemd, and install dbus"},
		{Architecture, Precondition, "the architecture is not supported",
			"Only 64-bit x86 and ARM are supported.",
			"use a machine of amd64 or arm64"},
		{OtherArchitecture, Precondition, "the architecture is another one than the cluster's",
			"All nodes of a cluster run the same images, which are made for one architecture: the one that the Shoot states for its pools " +
				"(machine.architecture), else that of the first node. Nothing of a foreign image was put on the machine.",
			"use a machine of that architecture, or for a new cluster mend machine.architecture in the Shoot"},
		{Kernel, Precondition, "the kernel is too old",
			"kube-proxy's nftables mode needs Linux 5.13.",
			"install a newer kernel and reboot"},
		{KernelFeature, Precondition, "the kernel lacks a feature",
			"nf_tables with address translation, br_netfilter, bridge, veth and vxlan carry the pod network. Each was tried in a network namespace of its own.",
			"load the module that the message names (modprobe NAME), or install a kernel that has it"},
		{Overlay, Precondition, "overlayfs does not work",
			"containerd lays images over each other with overlayfs. It was tried where containerd's data will be; a network file system, " +
				"an overlayfs, or an XFS without ftype=1 there cannot carry it.",
			"put a local ext4, XFS or btrfs file system at /var/lib/containerd"},
		{Cgroups, Precondition, "cgroup controllers are missing",
			"kubelet limits pods with the cgroup controllers cpu, cpuset, memory and pids. On small ARM boards memory is off by default.",
			"add cgroup_enable=memory to the kernel's command line and reboot"},
		{OldCgroups, Precondition, "cgroup version 1",
			"The controllers are in cgroup version 1. It works, but Kubernetes will drop it.",
			"boot with systemd.unified_cgroup_hierarchy=1"},
		{FewCPUs, Precondition, "too few CPUs",
			"A control plane on less than two CPUs works, but starts slowly and may miss etcd's deadlines.",
			"give the machine two CPUs"},
		{LittleMemory, Precondition, "too little memory",
			"The control plane and what kubelet keeps free take about 1.2 GB; below 1.7 GB there is no room for pods.",
			"give the machine 2 GiB of memory or more"},
		{SwapOn, Precondition, "swap is on",
			"kubelet refuses to start with swap, unless its configuration says otherwise: limits on memory would mean little.",
			"swapoff -a, and take the swap out of /etc/fstab (zram: systemctl disable --now its unit)"},
		{SecurityModule, Precondition, "a security module may interfere",
			"SELinux is enforcing. gardenadm brings no policy for it: containers run in the type of their runtime, and files that pods share may be denied.",
			"watch the audit log for denials (ausearch -m avc), or set SELinux to permissive"},
		{HostName, Precondition, "the host name cannot be a node's name",
			"The lower-cased host name becomes the name of the Node and must be unique in the cluster.",
			"hostnamectl set-hostname NAME"},
		{WrongClock, Precondition, "the clock is wrong",
			"The clock shows a time before this program was made. Certificates that are made now would be invalid as soon as it is right.",
			"set the clock (date -s, or start an NTP daemon) and run the command again"},
		{ClockUnsynchronised, Precondition, "the clock is not synchronised",
			"No NTP daemon has told the kernel that its clock is right. Certificates, leases and logs of several nodes need the same time.",
			"start an NTP daemon (systemctl enable --now systemd-timesyncd, or chrony)"},
		{NotChecked, Precondition, "a check could not be made",
			"The check itself failed or did not end in time, so what it looks at may be right or wrong.",
			"mend what the message names and run gardenadm preflight again"},
	}
}

func disks() []Entry {
	return []Entry{
		{LittleSpace, Precondition, "too little disk space",
			"Programs take about 0.4 GiB in /opt; images, etcd and pods about 1 GiB in /var/lib. kubelet evicts pods when less than a tenth is free.",
			"free space on the file system that the message names, or mount a larger one there"},
		{FewInodes, Precondition, "too few inodes",
			"Images unpack into many small files; a file system without free inodes is full, whatever space is left.",
			"free inodes on the file system that the message names, or make it anew with more of them"},
		{SlowDisk, Precondition, "the disk is slow",
			"etcd syncs its log to disk before it answers. When that takes longer than 10 ms now and then, requests are slow; beyond 50 ms etcd may " +
				"lose its leader and the control plane restarts.",
			"put /var/lib/etcd-main on a faster disk (an SSD), or leave the disk to etcd alone"},
		{ReadOnly, Precondition, "a directory cannot be written",
			"gardenadm installs programs in /opt/bin, configuration in /etc and data in /var/lib. A read-only /usr is fine.",
			"mount the file system that the message names writable"},
	}
}

func surroundings() []Entry {
	return []Entry{
		{NodeAddress, Precondition, "the node's address is not clear",
			"The address is --node-ip, else the source of the default route, else the only global address of the only physical link.",
			"choose one of the candidates with --node-ip"},
		{PortTaken, Precondition, "a port is taken",
			"A part of the control plane listens on this port (see docs/node-layout.md), and another process has it.",
			"stop the process that the message names"},
		{NetworksOverlap, Precondition, "networks overlap",
			"Pods and Services have networks of their own. Where the machine has an address in one of them or a route into it, packets go the wrong way.",
			"choose other networks in the Shoot (spec.networking), or remove the address or route"},
		{FirewallReloads, Precondition, "a firewall may remove the cluster's rules",
			"When firewalld, ufw or nftables.service are reloaded they replace rules, and may remove those of kube-proxy or drop traffic of pods.",
			"disable it on cluster nodes, or let it accept the cluster's networks and leave foreign tables alone"},
		{FirewallDrops, Precondition, "a packet filter may drop the traffic of pods",
			"A chain for forwarded packets has the policy drop, as Docker sets it. Packets of pods pass it too, whatever the tables of kube-proxy and " +
				"flannel accept: a node would be Ready, and its pods would reach nobody.",
			"with Docker: iptables -I DOCKER-USER -s PODS -j ACCEPT, and the same with -d, where PODS is spec.networking.pods (100.96.0.0/11 unless it is given); else let the chain accept that network"},
	}
}

func foreigners() []Entry {
	return []Entry{
		{OtherCluster, Precondition, "this machine belongs to another cluster",
			"Files or data of a cluster are here that this command did not make. gardenadm does not overwrite them.",
			"use another machine, or remove that cluster first"},
		{ForeignContainerd, Precondition, "another containerd is here",
			"gardenadm brings its own containerd and configures it in /etc/containerd/config.toml. That file, or a unit containerd.service in /etc/systemd/system, is here already and was not made by gardenadm.",
			"move the file away, or remove the package that brought it"},
		{ForeignEtcdData, Precondition, "etcd data of another cluster are here",
			"An etcd directory has data, but this machine is not a node of a cluster that gardenadm made. They may be the only copy.",
			"move the directory away (and keep it), or restore the cluster it belongs to"},
		{ForeignCNI, Precondition, "another pod network is configured",
			"containerd uses the first file in /etc/cni/net.d. One that comes before 10-flannel.conflist would win over the cluster's network. Plugins in /opt/cni/bin are replaced by gardenadm's of the same name, and not brought back by reset.",
			"move the file out of /etc/cni/net.d; keep a copy of plugins that something else uses"},
		{ForeignKubelet, Precondition, "another kubelet is installed",
			"A package or tool has left a unit or drop-ins of kubelet.service, which would change how the cluster's own kubelet is started.",
			"remove the package (apt-get remove kubeadm kubelet), or the drop-ins that the message names"},
	}
}
