package fault

// Codes of class Precondition that are about a machine that leaves its cluster.
const (
	EtcdDataUndecided Code = "GA-2301"
	ForeignContainers Code = "GA-2302"
)

func leavings() []Entry {
	return []Entry{
		{EtcdDataUndecided, Precondition, "nobody said what becomes of etcd's data",
			"This machine has data of the cluster's etcd, in /var/lib/etcd-main. It may be the last copy of the cluster. Nothing was changed.",
			"say that the data is to be removed, or that it is to be kept: gardenadm reset --help"},
		{ForeignContainers, Precondition, "somebody else's containers run in gardenadm's containerd",
			"Beside the pods, containers of other programs run in the containerd that gardenadm brought, and would go with it. Nothing was changed.",
			"stop and remove the containers that the message names, or move them to another runtime"},
	}
}
