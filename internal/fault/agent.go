package fault

// Codes of class Precondition that are about the agent of a node.
const (
	NodeIdentity       Code = "GA-2501"
	RenewalRefused     Code = "GA-2502"
	HostRenamed        Code = "GA-2503"
	AgentConfiguration Code = "GA-2504"
	NodeConfiguration  Code = "GA-2505"
	RenewalUnreachable Code = "GA-2506"
	NoCertificates     Code = "GA-2507"
	WentBack           Code = "GA-2508"
)

func agents() []Entry {
	return []Entry{
		{NodeIdentity, Precondition, "this machine does not know which node it is",
			"Name, addresses and pool of the node are in /var/lib/gardenadm/node.json, which init or join writes. The file is missing or damaged, so the node agent does not know what it has to keep.",
			"restore the file; or gardenadm reset, and join the machine again"},
		{RenewalRefused, Precondition, "the cluster does not renew this node's certificates",
			"The node's certificates expired while the machine was off. A control plane node renews them for a node that it still knows, and it refused this one: the message gives its reason.",
			"if the node was taken out of the cluster: gardenadm reset on this machine, then join again"},
		{HostRenamed, Precondition, "the machine was renamed",
			"The Node, the certificates and the static pods bear the machine's name. A renamed machine is another node, so the node agent stopped before it changed anything.",
			"hostnamectl set-hostname with the old name; or gardenadm reset under the old name, rename, and join again"},
		{AgentConfiguration, Precondition, "the node agent's own files cannot be read",
			"The node agent needs its configuration, its kubeconfig and its certificate, all below /var/lib/gardener-node-agent. One of them is missing or damaged.",
			"restore the file that the message names; on a control plane node gardenadm init writes it again, on a worker gardenadm reset and join do"},
		{NodeConfiguration, Precondition, "the node's configuration cannot be applied",
			"The OperatingSystemConfig that the cluster publishes for this node's pool cannot be read, or asks for something that the node agent does not know. The node keeps the configuration that it has.",
			"undo the last change of the Shoot, or of the extension that added to the configuration"},
		{RenewalUnreachable, Precondition, "no control plane node renews this node's certificates",
			"The node's certificates expired while the machine was off. Only a control plane node can renew them, and none answered at port 7445; the node agent asks again and again.",
			"check that a control plane node runs and can be reached (gardenadm status there), and that this machine's clock is right (timedatectl)"},
		{NoCertificates, Precondition, "this machine has no certificates of a cluster",
			"Programs of a node have certificates in /var/lib/kubelet/pki and other places, and none of these has any: the machine is no node, or was reset.",
			"run the command on a node; gardenadm init or join makes this machine one"},
		{WentBack, Precondition, "the control plane does not work with its new configuration",
			"etcd or the API server ended, or did not answer for five minutes, with the settings that the Shoot got. The node agent went back to those that they worked with last, so that the API is there; the node takes no configuration with this control plane again. The message says what was seen.",
			"correct in the manifests what the message names, then gardenadm init -d DIRECTORY again; with the same manifests it is tried once more"},
	}
}
