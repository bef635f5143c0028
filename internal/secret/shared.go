package secret

// What more than one component reads (contract control-plane §2).

// EtcdClient is the certificate with which the API server and gardenadm talk to etcd.
func EtcdClient() Spec {
	return Spec{Name: "etcd-client", Kind: Client, Signer: AuthorityEtcd, CommonName: "etcd-client"}
}

// ServiceAccountKey signs service account tokens, in kube-apiserver and kube-controller-manager.
func ServiceAccountKey() Spec {
	return Spec{Name: "service-account-key", Kind: SigningKey}
}

// Aggregator is whom the servers of aggregated APIs see when the API server hands on a user's request.
func Aggregator() Spec {
	return Spec{Name: "kube-aggregator", Kind: Client, Signer: AuthorityFrontProxy, CommonName: "system:kube-aggregator"}
}

// KubeletClient is whom the kubelet sees when the API server fetches logs and the like.
// It is signed by the authority of clients and not, as in Gardener, by that of kubelets' serving certificates,
// which kube-controller-manager signs with on request: a kubelet trusts one authority of clients, and that is it.
func KubeletClient() Spec {
	return Spec{Name: "kube-apiserver-kubelet", Kind: Client, Signer: AuthorityClient, CommonName: "system:kube-apiserver:kubelet"}
}

// GroupAdmins is the group of administrators: a ClusterRoleBinding gives it its rights and can lose it again; system:masters could not.
const GroupAdmins = "gardenadm:cluster-admins"

// Admin is the client certificate in the administrator's kubeconfig.
func Admin() Spec {
	return Spec{Name: "admin", Kind: Client, Signer: AuthorityClient, CommonName: "gardenadm:admin", Organization: []string{GroupAdmins}}
}

// Gardenlet is the client certificate of the gardenlets, one for all control plane nodes.
func Gardenlet() Spec {
	return Spec{Name: "gardenlet", Kind: Client, Signer: AuthorityClient, CommonName: "gardenadm:gardenlet"}
}
