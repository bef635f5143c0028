package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// New makes the cluster that the manifests describe. uid is the cluster's identity; a Shoot that brings status.uid keeps its own.
// The manifests are copied and not changed.
func New(set manifest.Set, uid string) (*Cluster, error) {
	if set.Shoot == nil || set.CloudProfile == nil || set.Project == nil {
		return nil, errors.New("read manifests: a Shoot, a CloudProfile and a Project are needed")
	}
	shoot := set.Shoot.DeepCopy()
	applyDefaults(shoot)
	if shoot.Status.UID == "" {
		shoot.Status.UID = types.UID(uid)
	}
	if shoot.Status.TechnicalID == "" {
		shoot.Status.TechnicalID = fmt.Sprintf("shoot--%s--%s", set.Project.Name, shoot.Name)
	}
	out := &Cluster{
		UID: string(shoot.Status.UID), Generation: 1, Shoot: shoot,
		CloudProfile: set.CloudProfile.DeepCopy(), Project: set.Project.DeepCopy(), Manifests: set,
		Standalone: Standalone{
			NodeAPIServer:       "127.0.0.1:" + strconv.Itoa(APIServerPort),
			EndpointReconciler:  "lease",
			InitApprovesServing: true,
		},
	}
	if err := errors.Join(out.readNetworks(), out.readControlPlane(), out.check(), checkFields(shoot).ToAggregate(), out.readAccess().ToAggregate()); err != nil {
		return nil, fmt.Errorf("read Shoot %s/%s: %w", shoot.Namespace, shoot.Name, err)
	}
	return out, nil
}

// applyDefaults sets ours before Gardener's, which would draw a random maintenance window.
func applyDefaults(shoot *gardencore.Shoot) {
	if shoot.Spec.Maintenance == nil {
		shoot.Spec.Maintenance = &gardencore.Maintenance{}
	}
	if shoot.Spec.Maintenance.TimeWindow == nil {
		shoot.Spec.Maintenance.TimeWindow = &gardencore.MaintenanceTimeWindow{Begin: "220000+0000", End: "230000+0000"}
	}
	gardencore.SetObjectDefaults_Shoot(shoot)
}

func (c *Cluster) readNetworks() error {
	networking := c.Shoot.Spec.Networking
	var errs []error
	read := func(field string, value *string) []netip.Prefix {
		if value == nil {
			errs = append(errs, fmt.Errorf("spec.networking.%s: must be set", field))
			return nil
		}
		prefix, err := netip.ParsePrefix(*value)
		if err != nil {
			errs = append(errs, fmt.Errorf("spec.networking.%s: %q is not a network such as 10.0.0.0/16", field, *value))
			return nil
		}
		if !prefix.Addr().Is4() {
			errs = append(errs, fmt.Errorf("spec.networking.%s: %s: only IPv4 is supported", field, prefix))
			return nil
		}
		return []netip.Prefix{prefix.Masked()}
	}
	c.Pods = read("pods", networking.Pods)
	c.Services = read("services", networking.Services)
	c.Nodes = read("nodes", networking.Nodes)
	return errors.Join(append(errs, c.overlaps()...)...)
}

func (c *Cluster) overlaps() []error {
	var errs []error
	for _, pair := range []struct {
		a, b        string
		left, right []netip.Prefix
	}{
		{"pods", "services", c.Pods, c.Services},
		{"pods", "nodes", c.Pods, c.Nodes},
		{"services", "nodes", c.Services, c.Nodes},
	} {
		for _, left := range pair.left {
			for _, right := range pair.right {
				if left.Overlaps(right) {
					errs = append(errs, fmt.Errorf("spec.networking: %s %s and %s %s overlap", pair.a, left, pair.b, right))
				}
			}
		}
	}
	return errs
}

func (c *Cluster) readControlPlane() error {
	var found []gardencore.Worker
	for _, worker := range c.Shoot.Spec.Provider.Workers {
		if worker.ControlPlane != nil {
			found = append(found, worker)
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("spec.provider.workers: exactly one pool must have controlPlane set, found %d", len(found))
	}
	for _, worker := range c.Shoot.Spec.Provider.Workers {
		c.Pools = append(c.Pools, Pool{Name: worker.Name, ControlPlane: worker.ControlPlane != nil, Worker: worker})
	}
	c.ControlPlane = Pool{Name: found[0].Name, ControlPlane: true, Worker: found[0]}
	return nil
}

// check refuses what this version cannot do; silence would be worse.
func (c *Cluster) check() error {
	var errs []error
	if c.Shoot.Spec.DNS == nil || c.Shoot.Spec.DNS.Domain == nil || *c.Shoot.Spec.DNS.Domain == "" {
		errs = append(errs, errors.New("spec.dns.domain: must be set"))
	}
	if network := c.Shoot.Spec.Networking.Type; network == nil || *network != NetworkFlannel {
		errs = append(errs, fmt.Errorf("spec.networking.type: only %q is served without an extension", NetworkFlannel))
	}
	if got := c.KubernetesVersion(); got != manifest.KubernetesVersion {
		errs = append(errs, fmt.Errorf("spec.kubernetes.version: %q is not supported, only %s", got, manifest.KubernetesVersion))
	}
	return errors.Join(errs...)
}
