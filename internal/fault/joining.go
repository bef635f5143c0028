package fault

// Codes of class Precondition that are about a machine that joins a cluster.
const (
	CertificateDenied Code = "GA-2401"
	NodeNameTaken     Code = "GA-2402"
	NodeOfAnother     Code = "GA-2403"
	NoSuchPool        Code = "GA-2404"
	ControlPlanePool  Code = "GA-2405"
	TokenRefused      Code = "GA-2406"
	NotPublished      Code = "GA-2407"
	TokenUsedUp       Code = "GA-2408"
	TokenOfAnother    Code = "GA-2409"
)

func joinings() []Entry {
	return []Entry{
		{CertificateDenied, Precondition, "the cluster refused a certificate for this machine",
			"A machine joins with certificates that it asks the cluster for with its token. The request was denied; the message gives the cluster's reason: a token for another node or pool, one that was used up, or a node of this name that is there already.",
			"mend what the message names, or make another token: gardenadm token create --print-join-command"},
		{NodeNameTaken, Precondition, "another machine is the node of this name",
			"The lower-cased host name becomes the name of the Node. The cluster has a Node of this name already: another machine's, or this one's from before it was made anew.",
			"hostnamectl set-hostname NAME, or take the other one out first: gardenadm node remove NODE"},
		{NodeOfAnother, Precondition, "this machine is a node already",
			"The machine was made a node of another cluster, or of another pool of this one, and is not clean. Nothing was changed.",
			"gardenadm reset on this machine, then join again"},
		{NoSuchPool, Precondition, "the cluster has no such worker pool",
			"A machine joins one of the worker pools of the Shoot; without --worker-pool-name it is the first of them. Nothing was changed.",
			"name a pool that the message lists, or add one to the Shoot"},
		{ControlPlanePool, Precondition, "machines cannot join the control plane yet",
			"The pool runs the control plane. To join it is for a later release. Nothing was changed.",
			"join a pool of workers: --worker-pool-name NAME"},
		{TokenRefused, Precondition, "the API server does not accept the token",
			"The cluster's authority is the right one, but the API server knows no such token: it expired, was deleted, or was mistyped. Nothing was changed.",
			"on a control plane node: gardenadm token create --print-join-command"},
		{NotPublished, Precondition, "the cluster does not say which worker pools it has",
			"A joining machine finds the worker pools in the ConfigMap kube-system/gardenadm-pools, which a control plane node publishes when it is complete. It is missing or cannot be read. Nothing was changed.",
			"on a control plane node: gardenadm status, and run gardenadm init again"},
		{TokenUsedUp, Precondition, "the token was for one node, and is used up",
			"The token was made with --single-use, and the node that the message names joined with it. Nothing was changed.",
			"on a control plane node, for this machine: gardenadm token create --print-join-command"},
		{TokenOfAnother, Precondition, "the token is for another node or pool",
			"The token was made with --node or --worker-pool-name, and this machine has another name or asks for another pool. Nothing was changed.",
			"join the pool that the message names, or on a control plane node: gardenadm token create --print-join-command"},
	}
}
