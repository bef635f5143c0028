package fault

// Codes of class Precondition that are about what earlier or other commands did on this machine.
const (
	Busy           Code = "GA-2101"
	SecretsInAPI   Code = "GA-2102"
	LeaseElsewhere Code = "GA-2103"
	BadSecrets     Code = "GA-2104"
	OtherManifests Code = "GA-2105"
	OtherImages    Code = "GA-2106"
	OtherIdentity  Code = "GA-2107"
)

func states() []Entry {
	return []Entry{
		{Busy, Precondition, "another gardenadm works on this machine",
			"Only one command may change a machine at a time. The lock ends with the process that holds it.",
			"wait until it is done, or stop the process that the message names"},
		{SecretsInAPI, Precondition, "this machine's cluster does not answer",
			"The machine already holds a cluster. Its secrets are in its API, which did not answer for five minutes, so nothing was issued or changed: new authorities would lock out everything that trusts the old ones.",
			"gardenadm status; gardenadm logs kube-apiserver"},
		{LeaseElsewhere, Precondition, "another machine works on the cluster",
			"Reconciling runs under one lease. Another machine took it over, so this run stopped; nothing is half-done that the next run does not finish.",
			"run the command again"},
		{BadSecrets, Precondition, "the secrets on disk cannot be read",
			"Until the API has them, the cluster's authorities and keys are in /var/lib/gardenadm/secrets, a file each. One of them is damaged or not a secret. Nothing was changed.",
			"restore the file that the message names; if this machine has no cluster yet, remove the directory"},
		{OtherManifests, Precondition, "this machine's cluster was made of other manifests",
			"The manifests that this cluster was made of are kept in /var/lib/gardenadm/manifests.yaml, and those that were given differ from them. A cluster can be changed only when it is whole and its API answers. Nothing was changed.",
			"run init without -d first; when it has succeeded, run it with the changed manifests"},
		{OtherImages, Precondition, "this cluster runs other images than the bundle has",
			"The cluster was made from another bundle. To change its images is an upgrade, which init does not do. Nothing was changed.",
			"run init with the bundle that the cluster was made from"},
		{OtherIdentity, Precondition, "this machine belongs to another cluster than the manifests",
			"The Shoot among the manifests has a status.uid, the identity of a cluster, and this machine keeps another one in /var/lib/gardenadm/shoot-uid. Two identities in one cluster would end in a garden that refuses it. Nothing was changed.",
			"give the manifests of this machine's cluster, or run gardenadm reset first"},
	}
}
