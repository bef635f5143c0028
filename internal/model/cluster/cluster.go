// Package cluster turns a set of garden manifests into a Cluster: defaulted, validated and immutable.
// Used by every later stage; it is all that renderers read of the user's wishes.
package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// AnnotationShared on a Shoot says that control plane nodes carry workload too ("true"):
// they are registered without the control plane taint.
const AnnotationShared = "node.gardenadm.dev/shared"

// NetworkFlannel is the network type that gardenadm serves itself; other types are foreign extensions.
const NetworkFlannel = "flannel"

// Cluster is one autonomous shoot cluster. It is made once, by New, and never changed afterwards.
type Cluster struct {
	// UID is the cluster's identity (Shoot.status.uid); it outlives nodes and addresses.
	UID string
	// Generation counts the lives of the cluster's etcd data; a restore starts the next one.
	Generation int
	// Shoot is the defaulted manifest; technicalID, uid and gardener of its status are set (contract shoot-api §1).
	Shoot *gardencore.Shoot
	// CloudProfile and Project are the other two manifests that a Shoot cannot be without.
	CloudProfile *gardencore.CloudProfile
	Project      *gardencore.Project

	// Manifests are all that the cluster was made of, and what its defaults refer to; the Shoot, CloudProfile and Project in it are not defaulted.
	Manifests manifest.Set
	// Warnings are what is allowed here and worth knowing, one line each, for example what a garden would refuse.
	Warnings []string

	// Pods, Services and Nodes are the cluster's networks, at least one prefix each.
	Pods, Services, Nodes []netip.Prefix
	// ControlPlane is the worker pool that runs the control plane.
	ControlPlane Pool
	// Pools are all worker pools in the Shoot's order, that of the control plane among them.
	Pools []Pool
	// Access is how the nodes reach registries.
	Access Access
}

// Node holds the only per-machine facts that a renderer sees.
type Node struct {
	// Name is the Node object's name: the lower-cased host name.
	Name string
	// Addresses are the node's addresses, the primary one first. Never empty, never loopback.
	Addresses    []netip.Addr
	Zone         string
	Pool         string
	Architecture string // as in GOARCH
}

// IP is the node's primary address.
func (n Node) IP() netip.Addr { return n.Addresses[0] }

// APIServerPort is where kube-apiserver listens on every control plane node.
const APIServerPort = 6443

// KubernetesVersion is the Shoot's version without a leading v, for example 1.36.3.
func (c *Cluster) KubernetesVersion() string { return c.Shoot.Spec.Kubernetes.Version }

// Domain is the cluster's own DNS domain (Shoot spec.dns.domain).
func (c *Cluster) Domain() string { return *c.Shoot.Spec.DNS.Domain }

// APIDomain is the external host name of the API server (contract shoot-api §1).
func (c *Cluster) APIDomain() string { return "api." + c.Domain() }

// ClusterDomain is the DNS domain of Services.
func (c *Cluster) ClusterDomain() string { return "cluster.local" }

// APIServiceIPs are the addresses of the Service default/kubernetes, one per service network.
func (c *Cluster) APIServiceIPs() []netip.Addr { return nth(c.Services, 1) }

// DNSServiceIPs are the addresses of the cluster's DNS Service, one per service network.
func (c *Cluster) DNSServiceIPs() []netip.Addr { return nth(c.Services, 10) }

// ServiceNames are the DNS names of a Service, the short ones first.
func (c *Cluster) ServiceNames(name, namespace string) []string {
	inNamespace := name + "." + namespace
	return []string{name, inNamespace, inNamespace + ".svc", inNamespace + ".svc." + c.ClusterDomain()}
}

// ManagesMachines says that the cluster's machines are made by machine controllers, with credentials for the infrastructure; otherwise
// people bring them.
func (c *Cluster) ManagesMachines() bool {
	//lint:ignore SA1019 whoever still uses it has credentials
	old := c.Shoot.Spec.SecretBindingName
	return c.Shoot.Spec.CredentialsBindingName != nil || old != nil
}

// SharedControlPlane says that control plane nodes carry workload.
func (c *Cluster) SharedControlPlane() bool { return c.Shoot.Annotations[AnnotationShared] == "true" }

// EtcdToken is the initial-cluster-token of this generation: a restored cluster gets another,
// so that members of an earlier life can never talk to it.
func (c *Cluster) EtcdToken() string { return fmt.Sprintf("%s.%d", c.UID, c.Generation) }

// NodeServer is the URL of the API server in the kubeconfigs on a node: its endpoint proxy.
func (c *Cluster) NodeServer() string {
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(layout.PortProxy))
}

// PodAPIServer is the address at which each node's endpoint proxy serves pods; the Service default/kubernetes leads to it, and every
// node has it on its loopback link. 240.0.0.0/8 is nobody's network: reserved since 1989, and Linux routes it as any other, while
// Kubernetes accepts no endpoints in 127.0.0.0/8 and 169.254.0.0/16.
func PodAPIServer() netip.Addr { return netip.AddrFrom4([4]byte{240, 0, 74, 43}) }

// TLSServerName is what the kubeconfigs on a node expect in the API server's certificate,
// so that addresses may come and go without new certificates.
const TLSServerName = "kubernetes.default.svc"

// Join renders prefixes as the comma-separated list that Kubernetes' flags take.
func Join[T fmt.Stringer](items []T) string {
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, item.String())
	}
	return strings.Join(out, ",")
}

// nth returns the n-th address of every prefix.
func nth(prefixes []netip.Prefix, n int) []netip.Addr {
	out := make([]netip.Addr, 0, len(prefixes))
	for _, prefix := range prefixes {
		addr := prefix.Masked().Addr()
		for range n {
			addr = addr.Next()
		}
		out = append(out, addr)
	}
	return out
}
