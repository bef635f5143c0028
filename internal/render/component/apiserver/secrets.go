package apiserver

import (
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func secrets(c *cluster.Cluster, nodes []cluster.Node) []secret.Spec {
	out := []secret.Spec{
		secret.Authority(secret.AuthorityCluster),
		secret.Authority(secret.AuthorityClient),
		secret.Authority(secret.AuthorityEtcd),
		secret.Authority(secret.AuthorityFrontProxy),
		secret.Authority(secret.AuthorityKubelet),
		secret.Aggregator(), secret.KubeletClient(), encryptionKey(), secret.EtcdClient(), secret.ServiceAccountKey(),
	}
	for _, node := range nodes {
		out = append(out, serving(c, node))
	}
	return out
}

func encryptionKey() secret.Spec {
	return secret.Spec{Name: "kube-apiserver-etcd-encryption-key", Kind: secret.SymmetricKey}
}

// serving has every name under which clients reach this node's API server (contract control-plane §2).
func serving(c *cluster.Cluster, node cluster.Node) secret.Spec {
	names := append(c.ServiceNames("kubernetes", metav1.NamespaceDefault), c.ServiceNames(name, metav1.NamespaceSystem)...)
	ips := append([]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), cluster.PodAPIServer()}, c.APIServiceIPs()...)
	return secret.Spec{
		Name: name, Node: node.Name, Kind: secret.Server, Signer: secret.AuthorityCluster, CommonName: name,
		DNSNames: append(names, "localhost", node.Name, c.Shoot.Status.TechnicalID, c.Domain(), c.APIDomain()),
		IPs:      append(ips, node.Addresses...),
	}
}
