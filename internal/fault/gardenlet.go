package fault

// Codes of class Precondition that stand in the gardenlet's log: it goes on with what it can, and tries again.
const (
	LostNode       Code = "GA-2641"
	LostSecret     Code = "GA-2642"
	LostDefinition Code = "GA-2643"
)

func gardenlets() []Entry {
	return []Entry{
		{LostNode, Precondition, "a control plane node has no Node, or lost its label",
			"The cluster has certificates for a control plane node whose Node was deleted, or has not the label node-role.kubernetes.io/control-plane any more. " +
				"Node configurations are made of all control plane nodes: without this one its static pods would be taken away. So all pools keep the configuration that they have.",
			"on that node: systemctl restart kubelet gardener-node-agent; a node without its label: kubectl label node NAME node-role.kubernetes.io/control-plane="},
		{LostSecret, Precondition, "an authority or a key of the cluster is gone",
			"A Secret in kube-system that others trust, or need to read what is written, was deleted. Another one would not do, so none is issued, and no certificate is renewed.",
			"restore the Secret that the message names from a backup"},
		{LostDefinition, Precondition, "the definition of the cluster is gone",
			"The Secret kube-system/gardenadm-cluster holds the manifests that the cluster was made of; init writes it. Without it node configurations are not published, " +
				"Nodes are not looked after, and nobody joins. Nodes keep the configuration that they have. During init it may be missing for a moment.",
			"on a control plane node: gardenadm init -d DIR with the cluster's manifests, which writes it again"},
	}
}
