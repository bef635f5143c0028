package fault

// Codes of class Precondition that are about a machine that leaves its cluster.
const (
	EtcdDataUndecided  Code = "GA-2301"
	ForeignContainers  Code = "GA-2302"
	NotConfirmed       Code = "GA-2303"
	NotDrained         Code = "GA-2304"
	PodsLost           Code = "GA-2305"
	NodesLeft          Code = "GA-2306"
	NoRecord           Code = "GA-2307"
	NodeStays          Code = "GA-2308"
	NodeAway           Code = "GA-2309"
	ControlPlaneMember Code = "GA-2310"
)

func leavings() []Entry {
	return []Entry{
		{EtcdDataUndecided, Precondition, "nobody said what becomes of etcd's data",
			"This machine has data of the cluster's etcd, in /var/lib/etcd-main. It may be the last copy of the cluster. Nothing was changed.",
			"gardenadm reset --etcd-data=remove, or --etcd-data=keep to leave it where it is"},
		{ForeignContainers, Precondition, "somebody else's containers run in gardenadm's containerd",
			"Beside the pods, containers of other programs run in the containerd that gardenadm brought, and would go with it. Nothing was changed.",
			"stop and remove the containers that the message names, or move them to another runtime"},
		{NotConfirmed, Precondition, "nobody said yes",
			"reset takes a machine out of its cluster and asks before it does. Standard input is not a terminal, or the answer was not yes. Nothing was changed.",
			"gardenadm reset --yes"},
		{NotDrained, Precondition, "pods do not leave the node",
			"Before a node goes, its pods are evicted so that they run elsewhere. The evidence says what each of those left waits for: a disruption budget that another pod has to become ready for, or its own end. Nothing but that the node takes no new pods was changed.",
			"make room for the pods that the message names, or give it more time with --timeout; --force does without; kubectl uncordon NODE takes the node into use again"},
		{PodsLost, Precondition, "pods would be lost",
			"The node runs pods that no controller made, so nobody would make them again elsewhere. None was evicted.",
			"delete or move the pods that the message names, or lose them with --force"},
		{NodesLeft, Precondition, "other nodes need this one",
			"This is the only control plane node of the cluster, and other nodes are still in it. They would go on without a control plane and could not be told anything any more. Nothing was changed.",
			"gardenadm reset on the other nodes first; --force leaves them alone"},
		{NoRecord, Precondition, "nobody knows how this machine was before",
			"init and join record a machine before they change it, and reset keeps that record in memory until the next reboot. There is none: the machine was never a node, was rebooted after the reset, or became a node by an older release.",
			"nothing is to be done; before a reboot, gardenadm reset --verify has something to compare with"},
		{NodeStays, Precondition, "the cluster does not let go of the node",
			"The node is marked as leaving. The gardenlet, which runs on control plane nodes, removes its Node, lease and requests for certificates, and did not do so in time.",
			"on a control plane node: systemctl status gardenlet, then gardenadm node remove NODE"},
		{NodeAway, Precondition, "the node does not answer",
			"The kubelet of the node does not report, so its pods cannot be ended in order: they may still run. If the machine is on, pods that may exist only once would run twice. Nothing was changed.",
			"switch the machine off, or bring it back; then gardenadm node remove NODE --force"},
		{ControlPlaneMember, Precondition, "control plane nodes cannot be removed yet",
			"The node is a member of the cluster's etcd, which has to agree first. That is for a later release. Nothing was changed.",
			"remove workers only"},
	}
}
