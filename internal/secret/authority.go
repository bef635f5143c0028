package secret

// Names of the certificate authorities (contract control-plane §2).
const (
	AuthorityCluster       = "ca"
	AuthorityClient        = "ca-client"
	AuthorityEtcd          = "ca-etcd"
	AuthorityEtcdPeer      = "ca-etcd-peer"
	AuthorityFrontProxy    = "ca-front-proxy"
	AuthorityKubelet       = "ca-kubelet"
	AuthorityMetricsServer = "ca-metrics-server"
)

// Authorities lists the cluster's certificate authorities in order of name.
func Authorities() []Spec {
	return []Spec{
		{Name: AuthorityCluster, Kind: CA, CommonName: "kubernetes"},
		{Name: AuthorityClient, Kind: CA, CommonName: "kubernetes-client"},
		{Name: AuthorityEtcd, Kind: CA, CommonName: "etcd"},
		{Name: AuthorityEtcdPeer, Kind: CA, CommonName: "etcd-peer"},
		{Name: AuthorityFrontProxy, Kind: CA, CommonName: "front-proxy"},
		{Name: AuthorityKubelet, Kind: CA, CommonName: "kubelet"},
		{Name: AuthorityMetricsServer, Kind: CA, CommonName: "metrics-server"},
	}
}

// Authority returns the Spec of the named authority; an unknown name has a Spec that no certificate can be signed with.
func Authority(name string) Spec {
	for _, spec := range Authorities() {
		if spec.Name == name {
			return spec
		}
	}
	return Spec{Name: name}
}
