package fault

// Codes of class Precondition that are about a joining machine and the control plane: whether they reach each other and get on.
const (
	PortNotReached    Code = "GA-2420"
	ClocksDiffer      Code = "GA-2421"
	NotReachedBack    Code = "GA-2422"
	AddressTranslated Code = "GA-2423"
	OverlayBlocked    Code = "GA-2424"
	PathTooSmall      Code = "GA-2425"
	MTUsDiffer        Code = "GA-2426"
	SameMachineID     Code = "GA-2427"
	SameName          Code = "GA-2428"
	SameLink          Code = "GA-2429"
)

func reachings() []Entry {
	return []Entry{
		{PortNotReached, Precondition, "a port of the control plane is not reached",
			"A node needs the API server (6443), the images (7444) and the gardenlet (7445) of control plane nodes; metrics-server, should it run there, their kubelets (10250). A connection was refused, or nothing came back. Nothing was changed.",
			"open the ports that the message names in firewalls and security groups; on the control plane node: gardenadm status"},
		{ClocksDiffer, Precondition, "the clocks of this machine and of the cluster differ",
			"Certificates, tokens and leases of several machines need the same time. Certificates that are made now may not be valid on the other side. Nothing was changed.",
			"let the same NTP servers set both clocks, or set this one (date -s)"},
		{NotReachedBack, Precondition, "the control plane does not reach this machine",
			"The API server fetches logs and metrics from the kubelet, and reaches into pods, over port 10250. This machine listened there for a moment, and the connection of the control plane node did not arrive. Nothing was changed.",
			"open port 10250/tcp of this machine for the control plane nodes"},
		{AddressTranslated, Precondition, "the control plane sees this machine at another address",
			"Connections from the node's address arrive with another one: a router translates addresses, or they leave over another link. Pods of other nodes are sent to the node's address and would not arrive.",
			"put the machine into the same network, or choose the address that the message names with --node-ip"},
		{OverlayBlocked, Precondition, "packets between pods do not arrive",
			"Pods of different nodes talk through VXLAN, UDP port 8472. Packets of all sizes were sent, and none arrived in the direction that the message names. Nothing was changed.",
			"open port 8472/udp in both directions between all nodes"},
		{PathTooSmall, Precondition, "the network loses large packets",
			"The network between the machines carries less than the MTU of their links says. Small packets pass and connections open, but whatever sends much hangs.",
			"set the MTU of the links on all nodes to what the network carries (ip link set dev LINK mtu N, and in the configuration of the network)"},
		{MTUsDiffer, Precondition, "links have different MTUs",
			"The links of this machine and of a control plane node have different MTUs, and so will have the pods. Large packets from one to the other are lost, other than those of TCP.",
			"set the same MTU on the links of all nodes"},
		{SameMachineID, Precondition, "another node has the same machine ID",
			"The machine was copied with its /etc/machine-id. Machines that share it get the same addresses from DHCP, and are one to all that tells machines apart.",
			"rm /etc/machine-id && systemd-machine-id-setup, then reboot"},
		{SameName, Precondition, "another machine is a node of this name",
			"A Node of this machine's name is Ready, and it is another machine: it has another machine ID, or is at another address. Two machines cannot be one node: the second would take over the first one's pods and certificates. Nothing was changed.",
			"hostnamectl set-hostname NAME, or take the other one out: gardenadm node remove NAME"},
		{SameLink, Precondition, "another node has the same network card's address",
			"A Node that is Ready answers with the Ethernet (MAC) address of one of this machine's network cards: a virtual machine was copied with it. Switches send the packets of both to one of them. Nothing was changed.",
			"give this machine's network card another address where the virtual machine is defined, and start it anew"},
	}
}
