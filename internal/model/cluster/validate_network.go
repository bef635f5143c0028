package cluster

import (
	"net/netip"
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Limits of Kubernetes 1.36 on IPv4 networks.
const (
	// maxServiceHostBits: kube-apiserver refuses a larger --service-cluster-ip-range.
	maxServiceHostBits = 20
	// minServiceHostBits leaves room for the addresses of the API (.1) and DNS (.10).
	minServiceHostBits = 4
	// maxNodeRangeBits: kube-controller-manager keeps a bit for every node range, at most 65536.
	maxNodeRangeBits = 16
	// defaultMaxPods is kubelet's.
	defaultMaxPods = 110
	// defaultNodeMask is kube-controller-manager's for IPv4.
	defaultNodeMask = 24
)

// checkNetworks: three IPv4 networks, apart from each other and from what every machine uses itself.
func (c *Cluster) checkNetworks() field.ErrorList {
	networking := c.Shoot.Spec.Networking
	errs := checkFamilies(networking.IPFamilies)
	if manager := c.Shoot.Spec.Kubernetes.KubeControllerManager; manager != nil && manager.NodeCIDRMaskSizeIPv6 != nil {
		path := spec("kubernetes", "kubeControllerManager", "nodeCIDRMaskSizeIPv6")
		errs = append(errs, field.Forbidden(path, "only IPv4 yet").WithOrigin(string(fault.UnsupportedIPv6)))
	}
	errs = append(errs, checkNetwork("pods", networking.Pods)...)
	errs = append(errs, checkNetwork("services", networking.Services)...)
	errs = append(errs, checkNetwork("nodes", networking.Nodes)...)
	for _, pair := range []struct {
		name, other string
		left, right []netip.Prefix
	}{
		{"services", "pods", c.Services, c.Pods},
		{"nodes", "pods", c.Nodes, c.Pods},
		{"nodes", "services", c.Nodes, c.Services},
	} {
		for _, left := range pair.left {
			for _, right := range pair.right {
				if left.Overlaps(right) {
					errs = append(errs, invalid(spec("networking", pair.name), left.String(), "overlaps spec.networking.%s %s", pair.other, right))
				}
			}
		}
	}
	for _, services := range c.Services {
		path := spec("networking", "services")
		switch bits := services.Addr().BitLen() - services.Bits(); {
		case !services.Addr().Is4():
		case bits < minServiceHostBits:
			errs = append(errs, invalid(path, services.String(), "too small: DNS has the tenth address; at most /%d", 32-minServiceHostBits))
		case bits > maxServiceHostBits:
			errs = append(errs, invalid(path, services.String(), "too large for kube-apiserver; at least /%d", 32-maxServiceHostBits))
		}
	}
	return errs
}

func checkFamilies(families []gardencore.IPFamily) field.ErrorList {
	var errs field.ErrorList
	for i, family := range families {
		path := spec("networking", "ipFamilies").Index(i)
		switch {
		case family == gardencore.IPFamilyIPv6:
			errs = append(errs, unsupported(path, string(family), "only IPv4 yet").WithOrigin(string(fault.UnsupportedIPv6)))
		case family != gardencore.IPFamilyIPv4:
			errs = append(errs, invalid(path, string(family), "must be IPv4"))
		case slices.Contains(families[:i], family):
			errs = append(errs, field.Duplicate(path, string(family)))
		}
	}
	return errs
}

func checkNetwork(name string, text *string) field.ErrorList {
	path := spec("networking", name)
	if text == nil {
		return field.ErrorList{field.Required(path, "a cluster that runs its own control plane must say it")}
	}
	prefix, err := netip.ParsePrefix(*text)
	switch {
	case err != nil:
		return field.ErrorList{invalid(path, *text, "not a network such as 10.250.0.0/16")}
	case !prefix.Addr().Is4():
		return field.ErrorList{unsupported(path, *text, "only IPv4 yet").WithOrigin(string(fault.UnsupportedIPv6))}
	case prefix != prefix.Masked():
		return field.ErrorList{invalid(path, *text, "has bits behind its mask; the network is %s", prefix.Masked())}
	}
	for _, taken := range reserved() {
		if prefix.Overlaps(taken.network) {
			return field.ErrorList{invalid(path, *text, "overlaps %s (%s)", taken.network, taken.use)}
		}
	}
	return nil
}

type reservation struct {
	network netip.Prefix
	use     string
}

// reserved are the networks that no cluster can have.
func reserved() []reservation {
	return []reservation{
		{netip.MustParsePrefix("0.0.0.0/8"), "this host"},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("240.0.0.0/4"), "the nodes' endpoint proxy"},
	}
}

// checkNodeRanges: every node gets a range of the pod network that holds its pods.
func (c *Cluster) checkNodeRanges() field.ErrorList {
	if slices.Contains(c.Shoot.Spec.Networking.IPFamilies, gardencore.IPFamilyIPv6) {
		return nil // refused as a whole; Gardener's default mask is one for IPv6 then
	}
	if slices.ContainsFunc(c.Pools, func(pool Pool) bool { return ptr.Deref(c.Kubelet(pool).MaxPods, defaultMaxPods) < 1 }) {
		return nil // refused as such; no mask follows from it
	}
	mask := defaultNodeMask
	if manager := c.Shoot.Spec.Kubernetes.KubeControllerManager; manager != nil {
		mask = int(ptr.Deref(manager.NodeCIDRMaskSize, defaultNodeMask))
	}
	path := spec("kubernetes", "kubeControllerManager", "nodeCIDRMaskSize")
	if mask < 16 || mask > 28 {
		return field.ErrorList{invalid(path, mask, "must be between 16 and 28")}
	}
	var errs field.ErrorList
	// Of the range three addresses are not for pods: network, broadcast and the bridge.
	for _, pool := range c.Pools {
		if most := int(ptr.Deref(c.Kubelet(pool).MaxPods, defaultMaxPods)); 1<<(32-mask)-3 < most {
			errs = append(errs, invalid(path, mask, "a /%d has no room for the %d pods of a node of pool %s", mask, most, pool.Name))
		}
	}
	nodes := 0
	for _, pool := range c.Pools {
		nodes += int(pool.Worker.Maximum)
	}
	for _, pods := range c.Pods {
		path := spec("networking", "pods")
		switch bits := mask - pods.Bits(); {
		case !pods.Addr().Is4():
		case bits < 0 || bits <= maxNodeRangeBits && 1<<bits < nodes:
			errs = append(errs, invalid(path, pods.String(), "too small for %d nodes: each gets a /%d", nodes, mask))
		case bits > maxNodeRangeBits:
			errs = append(errs, invalid(path, pods.String(), "too large for kube-controller-manager, where each node gets a /%d; at least /%d", mask, mask-maxNodeRangeBits))
		}
	}
	return errs
}

// checkNetworkType: flannel is ours; all others are foreign extensions.
func (c *Cluster) checkNetworkType() field.ErrorList {
	path := spec("networking", "type")
	switch network := ptr.Deref(c.Shoot.Spec.Networking.Type, ""); network {
	case NetworkFlannel:
		return nil
	case "":
		return field.ErrorList{field.Required(path, "for example "+NetworkFlannel)}
	default:
		return field.ErrorList{c.foreign(path, "Network", network, NetworkFlannel)}
	}
}
