package etcd

import (
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	caClients = secret.AuthorityEtcd
	caPeers   = secret.AuthorityEtcdPeer
)

// ClientSecret is the certificate with which the API server and gardenadm talk to etcd.
func ClientSecret() secret.Spec {
	return secret.Spec{Name: "etcd-client", Kind: secret.Client, Signer: caClients, CommonName: "etcd-client"}
}

// secrets: names and subjects as in contract control-plane §2, one server and peer certificate per node.
func secrets(c *cluster.Cluster, nodes []cluster.Node) []secret.Spec {
	out := []secret.Spec{secret.Authority(caClients), secret.Authority(caPeers), ClientSecret()}
	for _, node := range nodes {
		out = append(out, server(c, node), peer(c, node))
	}
	return out
}

func server(c *cluster.Cluster, node cluster.Node) secret.Spec {
	return secret.Spec{
		Name: "etcd-server", Node: node.Name, Kind: secret.Server, Signer: caClients, CommonName: "etcd-server",
		DNSNames: append(service(c, "etcd-main-client"), "etcd-main-local", "localhost", node.Name),
		IPs:      append(loopback(), node.Addresses...),
	}
}

func peer(c *cluster.Cluster, node cluster.Node) secret.Spec {
	return secret.Spec{
		Name: "etcd-peer-server", Node: node.Name, Kind: secret.Peer, Signer: caPeers, CommonName: "etcd-peer-server",
		DNSNames: append(service(c, "*.etcd-main-peer"), node.Name),
		IPs:      slices.Clone(node.Addresses),
	}
}

// service returns the names of a Service of the control plane's namespace.
func service(c *cluster.Cluster, name string) []string {
	inNamespace := name + "." + metav1.NamespaceSystem
	return []string{name, inNamespace, inNamespace + ".svc", inNamespace + ".svc." + c.ClusterDomain()}
}

func loopback() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
}
