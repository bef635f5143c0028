package apiserver

import (
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component/etcd"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// KubeletUser is whom the kubelet sees when the API server fetches logs and the like (contract control-plane §2).
const KubeletUser = "system:kube-apiserver:kubelet"

// ServiceAccountKey signs service account tokens, here and in kube-controller-manager.
func ServiceAccountKey() secret.Spec {
	return secret.Spec{Name: "service-account-key", Kind: secret.SigningKey}
}

func secrets(c *cluster.Cluster, nodes []cluster.Node) []secret.Spec {
	out := []secret.Spec{
		secret.Authority(secret.AuthorityCluster),
		secret.Authority(secret.AuthorityClient),
		secret.Authority(secret.AuthorityEtcd),
		secret.Authority(secret.AuthorityFrontProxy),
		secret.Authority(secret.AuthorityKubelet),
		aggregator(), kubeletClient(), encryptionKey(), etcd.ClientSecret(), ServiceAccountKey(),
	}
	for _, node := range nodes {
		out = append(out, serving(c, node))
	}
	return out
}

func aggregator() secret.Spec {
	return secret.Spec{
		Name: "kube-aggregator", Kind: secret.Client, Signer: secret.AuthorityFrontProxy, CommonName: "system:kube-aggregator",
	}
}

// kubeletClient is signed by the authority of clients and not, as in Gardener, by that of kubelets' serving certificates,
// which kube-controller-manager signs with on request: a kubelet trusts one authority of clients, and that is it.
func kubeletClient() secret.Spec {
	return secret.Spec{Name: "kube-apiserver-kubelet", Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: KubeletUser}
}

func encryptionKey() secret.Spec {
	return secret.Spec{Name: "kube-apiserver-etcd-encryption-key", Kind: secret.SymmetricKey}
}

// serving has every name under which clients reach this node's API server (contract control-plane §2).
func serving(c *cluster.Cluster, node cluster.Node) secret.Spec {
	names := append(service(c, "kubernetes", metav1.NamespaceDefault), service(c, name, metav1.NamespaceSystem)...)
	ips := append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}, c.APIServiceIPs()...)
	return secret.Spec{
		Name: name, Node: node.Name, Kind: secret.Server, Signer: secret.AuthorityCluster, CommonName: name,
		DNSNames: append(names, "localhost", node.Name, c.Shoot.Status.TechnicalID, c.Domain(), c.APIDomain()),
		IPs:      append(ips, node.Addresses...),
	}
}

func service(c *cluster.Cluster, name, namespace string) []string {
	inNamespace := name + "." + namespace
	return []string{name, inNamespace, inNamespace + ".svc", inNamespace + ".svc." + c.ClusterDomain()}
}
