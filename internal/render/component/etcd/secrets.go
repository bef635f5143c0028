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

// secrets: names and subjects as in contract control-plane §2, one server and peer certificate per node.
func secrets(c *cluster.Cluster, nodes []cluster.Node) []secret.Spec {
	out := []secret.Spec{secret.Authority(caClients), secret.Authority(caPeers), secret.EtcdClient()}
	for _, node := range nodes {
		out = append(out, server(c, node), peer(c, node))
	}
	return out
}

func server(c *cluster.Cluster, node cluster.Node) secret.Spec {
	return secret.Spec{
		Name: "etcd-server", Node: node.Name, Kind: secret.Server, Signer: caClients, CommonName: "etcd-server",
		DNSNames: append(c.ServiceNames("etcd-main-client", metav1.NamespaceSystem), "etcd-main-local", "localhost", node.Name),
		IPs:      append(loopback(), node.Addresses...),
	}
}

func peer(c *cluster.Cluster, node cluster.Node) secret.Spec {
	return secret.Spec{
		Name: "etcd-peer-server", Node: node.Name, Kind: secret.Peer, Signer: caPeers, CommonName: "etcd-peer-server",
		DNSNames: append(c.ServiceNames("*.etcd-main-peer", metav1.NamespaceSystem), node.Name),
		IPs:      slices.Clone(node.Addresses),
	}
}

func loopback() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
}
