package fault

// Codes of class Precondition that are about the mirrors, from which nodes take the cluster's images.
const (
	MirrorSilent  Code = "GA-2621"
	MirrorLacks   Code = "GA-2622"
	MirrorRefuses Code = "GA-2623"
)

func mirrors() []Entry {
	return []Entry{
		{MirrorSilent, Precondition, "no image mirror answers",
			"Nodes take the cluster's programs and images from the control plane nodes (port 7444), and none of them gave what was asked for. The message says of each why.",
			"on a control plane node: systemctl status gardener-image-mirror; let firewalls pass port 7444 of the control plane nodes"},
		{MirrorLacks, Precondition, "no image mirror has an image",
			"The control plane nodes have what their bundle had. This image is on none of them: it is of another release, or was removed by hand.",
			"on a control plane node: gardenadm bundle import FILE"},
		{MirrorRefuses, Precondition, "the image mirrors refuse this machine's address",
			"Mirrors serve the network of nodes alone (the Shoot's spec.networking.nodes), and this machine asks from another address.",
			"name an address of the nodes' network with --node-ip, and see with ip route get that the way to the control plane begins there"},
	}
}
