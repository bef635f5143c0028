package cluster

import (
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Pool is a worker pool: machines that are configured alike.
type Pool struct {
	Name string
	// ControlPlane: the pool's nodes run etcd and the API server.
	ControlPlane bool
	Worker       gardencore.Worker
}

// CheckZone returns the zone of a machine that joins the pool (contract shoot-api §3, rules of --zone): a pool without zones takes none,
// the only zone of a pool need not be named, and of several one must be. The error is a fault of class usage.
func (p Pool) CheckZone(zone string) (string, error) {
	zones := p.Worker.Zones
	switch {
	case zone == "" && len(zones) == 0:
		return "", nil
	case zone == "" && len(zones) == 1:
		return zones[0], nil
	case zone == "":
		return "", fault.New(fault.BadFlag, "choose zone: pool %s has the zones %s", p.Name, strings.Join(zones, ", ")).
			Mend("name the zone of this machine: --zone %s", zones[0])
	case len(zones) == 0:
		return "", fault.New(fault.BadFlag, "check zone %q: pool %s has no zones", zone, p.Name).Mend("leave out --zone, or list the pool's zones in the Shoot")
	case !slices.Contains(zones, zone):
		return "", fault.New(fault.BadFlag, "check zone %q: pool %s has the zones %s", zone, p.Name, strings.Join(zones, ", ")).
			Mend("use one of the pool's zones, or add the zone to the Shoot")
	}
	return zone, nil
}

// Architecture is what the Shoot states for its pools, as in GOARCH; "" where it is left open in all of them.
func (c *Cluster) Architecture() string {
	for _, pool := range c.Pools {
		if stated := pool.Worker.Machine.Architecture; stated != nil {
			return *stated
		}
	}
	return ""
}

// Kubelet is what the Shoot says about the kubelets of a pool. A pool's own settings replace the cluster's whole, as in Gardener.
func (c *Cluster) Kubelet(pool Pool) gardencore.KubeletConfig {
	if own := pool.Worker.Kubernetes; own != nil && own.Kubelet != nil {
		return *own.Kubelet
	}
	if common := c.Shoot.Spec.Kubernetes.Kubelet; common != nil {
		return *common
	}
	return gardencore.KubeletConfig{}
}

// KubeletVersion is the version of the kubelets of a pool, without a leading v.
func (c *Cluster) KubeletVersion(pool Pool) string {
	if own := pool.Worker.Kubernetes; own != nil && own.Version != nil {
		return *own.Version
	}
	return c.KubernetesVersion()
}

// AllowsSwap says that the kubelets of a pool start on machines with swap (failSwapOn: false).
func (c *Cluster) AllowsSwap(pool Pool) bool {
	fail := c.Kubelet(pool).FailSwapOn
	return fail != nil && !*fail
}
