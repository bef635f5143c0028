// Package offer turns a cluster into what a machine has to know that wants to join it, and back from JSON.
// Used by the component node-access, which publishes it, and by join.
package offer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// Where it is published: a ConfigMap in kube-system and its key.
const (
	Name    = "gardenadm-pools"
	DataKey = "offer.json"
)

// maxBytes bounds what is read.
const maxBytes = 256 << 10

// Offer is what a cluster tells machines that have a token. It holds no secret.
type Offer struct {
	// Pods, Services and Nodes are the cluster's networks.
	Pods     []netip.Prefix `json:"pods"`
	Services []netip.Prefix `json:"services"`
	Nodes    []netip.Prefix `json:"nodes"`
	// Pools are the worker pools in the Shoot's order.
	Pools []Pool `json:"pools"`
}

// Pool is a worker pool, as far as a machine has to know it before it has any rights.
type Pool struct {
	Name string `json:"name"`
	// Secret in kube-system has the pool's OperatingSystemConfig.
	Secret       string   `json:"secret"`
	Zones        []string `json:"zones,omitempty"`
	ControlPlane bool     `json:"controlPlane,omitempty"`
	// Architecture of its machines, as in GOARCH; "" when the Shoot leaves it open.
	Architecture string `json:"architecture,omitempty"`
	// SwapAllowed: the pool's kubelets start with swap on.
	SwapAllowed bool `json:"swapAllowed,omitempty"`
}

// New returns the offer of a cluster; secrets names the Secret of each pool.
func New(c *cluster.Cluster, secrets map[string]string) Offer {
	out := Offer{Pods: c.Pods, Services: c.Services, Nodes: c.Nodes}
	for _, pool := range c.Pools {
		out.Pools = append(out.Pools, Pool{
			Name: pool.Name, Secret: secrets[pool.Name], Zones: pool.Worker.Zones, ControlPlane: pool.ControlPlane, SwapAllowed: c.AllowsSwap(pool),
			// Pools that leave it open run the same images as the others.
			Architecture: c.Architecture(),
		})
	}
	return out
}

// Pool returns the pool of the name; without one it is the first that does not run the control plane. The error is a fault.
func (o Offer) Pool(name string) (Pool, error) {
	at := slices.IndexFunc(o.Pools, func(p Pool) bool { return p.Name == name || name == "" && !p.ControlPlane })
	switch {
	case at < 0 && name == "":
		return Pool{}, fault.New(fault.NoSuchPool, "choose worker pool: the cluster has none for workers, only %s", o.names()).
			Mend("add a pool to the Shoot (spec.provider.workers), and on a control plane node: gardenadm init -d DIR")
	case at < 0:
		return Pool{}, fault.New(fault.NoSuchPool, "find worker pool %s: the cluster has %s", name, o.names())
	case o.Pools[at].ControlPlane:
		return Pool{}, fault.New(fault.ControlPlanePool, "join worker pool %s: it runs the control plane", name)
	}
	return o.Pools[at], nil
}

func (o Offer) names() string {
	var out []string
	for _, pool := range o.Pools {
		out = append(out, pool.Name)
	}
	return strings.Join(out, ", ")
}

// CheckZone is cluster.Pool.CheckZone.
func (p Pool) CheckZone(zone string) (string, error) {
	return cluster.Pool{Name: p.Name, Worker: gardencore.Worker{Zones: p.Zones}}.CheckZone(zone)
}

// Encode writes what Decode accepts, or fails. Equal offers are equal bytes.
func (o Offer) Encode() ([]byte, error) {
	if err := o.validate().ToAggregate(); err != nil {
		return nil, fmt.Errorf("write offer of the cluster: %w", err)
	}
	raw, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write offer of the cluster: %w", err)
	}
	return append(raw, '\n'), nil
}

// Decode reads an offer. Fields that it does not know are a newer cluster's, and are left out.
func Decode(raw []byte) (Offer, error) {
	var out Offer
	err := errors.New("it is too long")
	if len(raw) <= maxBytes {
		err = json.Unmarshal(raw, &out)
	}
	if err == nil {
		err = out.validate().ToAggregate()
	}
	if err != nil {
		return Offer{}, fmt.Errorf("read offer of the cluster: %w", err)
	}
	return out, nil
}

func (o Offer) validate() field.ErrorList {
	var all field.ErrorList
	for name, networks := range map[string][]netip.Prefix{"pods": o.Pods, "services": o.Services, "nodes": o.Nodes} {
		if len(networks) == 0 || slices.ContainsFunc(networks, func(p netip.Prefix) bool { return !p.IsValid() }) {
			all = append(all, field.Required(field.NewPath(name), "there is at least one network"))
		}
	}
	pools, seen := field.NewPath("pools"), map[string]bool{}
	if len(o.Pools) == 0 {
		all = append(all, field.Required(pools, "a cluster has at least one pool"))
	}
	for i, pool := range o.Pools {
		at := pools.Index(i)
		if seen[pool.Name] {
			all = append(all, field.Duplicate(at.Child("name"), pool.Name))
		}
		seen[pool.Name] = true
		for child, name := range map[string]string{"name": pool.Name, "secret": pool.Secret} {
			for _, why := range validation.IsDNS1123Subdomain(name) {
				all = append(all, field.Invalid(at.Child(child), name, why))
			}
		}
	}
	return all
}
