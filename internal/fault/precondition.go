package fault

// Codes of class Precondition.
const (
	NotRoot      Code = "GA-2001"
	NoSystemd    Code = "GA-2002"
	Architecture Code = "GA-2003"
	Kernel       Code = "GA-2004"
	HostName     Code = "GA-2005"
	NodeAddress  Code = "GA-2006"
	OtherCluster Code = "GA-2007"
)

func preconditions() []Entry {
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
		{Kernel, Precondition, "the kernel is too old or lacks a feature",
			"kube-proxy's nftables mode needs Linux 5.13; overlayfs, nf_tables, br_netfilter, veth and vxlan must work.",
			"install a newer kernel, or load the module that the message names"},
		{HostName, Precondition, "the host name cannot be a node's name",
			"The lower-cased host name becomes the name of the Node and must be unique in the cluster.",
			"hostnamectl set-hostname NAME"},
		{NodeAddress, Precondition, "the node's address is not clear",
			"The address is --node-ip, else the source of the default route, else the only global address of the only physical link.",
			"choose one of the candidates with --node-ip"},
		{OtherCluster, Precondition, "this machine belongs to another cluster",
			"Files or data of a cluster are here that this command did not make. gardenadm does not overwrite them.",
			"use another machine, or remove that cluster first"},
	}
}
