package fault

// Codes of class Precondition that are about a node's way to the API servers.
const NoAPIServerKnown Code = "GA-2601"

func proxies() []Entry {
	return []Entry{
		{NoAPIServerKnown, Precondition, "this node knows no API server",
			"A node remembers the addresses of the API servers in /var/lib/gardenadm/endpoints.json, which init and join write. The file is missing or damaged, so the endpoint proxy of the node leads nowhere.",
			"run gardenadm join again with the addresses of the control plane nodes; on a control plane node, gardenadm init"},
	}
}
