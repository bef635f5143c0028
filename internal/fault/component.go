package fault

// Codes of class Component.
const (
	APIServerDown Code = "GA-3001"
)

func components() []Entry {
	return []Entry{
		{APIServerDown, Component, "the API server does not come up",
			"kube-apiserver did not answer its readiness check with this cluster's authority in time.",
			"gardenadm status; gardenadm logs kube-apiserver"},
	}
}
