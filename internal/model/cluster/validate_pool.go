package cluster

import (
	"slices"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxPoolName is what a garden takes: machine names are made of it.
const maxPoolName = 15

// checkPools: what holds for every pool by itself.
func (c *Cluster) checkPools() field.ErrorList {
	var errs field.ErrorList
	for i, one := range c.Pools {
		worker := one.Worker
		errs = append(errs, label(pool(i, "name"), worker.Name)...)
		if len(worker.Name) > maxPoolName {
			errs = append(errs, field.TooLong(pool(i, "name"), worker.Name, maxPoolName))
		}
		if slices.ContainsFunc(c.Pools[:i], func(other Pool) bool { return other.Name == worker.Name }) {
			errs = append(errs, field.Duplicate(pool(i, "name"), worker.Name))
		}
		switch {
		case worker.Minimum < 0:
			errs = append(errs, invalid(pool(i, "minimum"), worker.Minimum, "must not be negative"))
		case worker.Maximum < worker.Minimum && !one.ControlPlane: // the control plane's pool has a rule of its own
			errs = append(errs, invalid(pool(i, "maximum"), worker.Maximum, "must be at least minimum, %d", worker.Minimum))
		}
		errs = append(errs, metavalidation.ValidateLabels(worker.Labels, pool(i, "labels"))...)
		errs = append(errs, checkOwned(pool(i, "labels"), worker.Labels, OwnerOfLabel)...)
		errs = append(errs, apivalidation.ValidateAnnotations(worker.Annotations, pool(i, "annotations"))...)
		errs = append(errs, checkOwned(pool(i, "annotations"), worker.Annotations, ownerOfAnnotation)...)
		errs = append(errs, checkTaints(pool(i, "taints"), worker.Taints)...)
		errs = append(errs, c.checkSysctls(pool(i, "sysctls"), one)...)
	}
	return errs
}

// checkZones: the zones of a pool are those of the region, where the CloudProfile lists some.
func (c *Cluster) checkZones() field.ErrorList {
	var known []string
	if region := c.region(); region != nil {
		for _, zone := range region.Zones {
			known = append(known, zone.Name)
		}
	}
	var errs field.ErrorList
	for i, one := range c.Pools {
		for j, zone := range one.Worker.Zones {
			path := pool(i, "zones").Index(j)
			switch wrong := validation.IsValidLabelValue(zone); {
			case zone == "":
				errs = append(errs, field.Required(path, ""))
			case len(wrong) > 0:
				errs = append(errs, field.Invalid(path, zone, wrong[0]))
			case slices.Contains(one.Worker.Zones[:j], zone):
				errs = append(errs, field.Duplicate(path, zone))
			case len(known) > 0 && !slices.Contains(known, zone):
				errs = append(errs, invalid(path, zone, "CloudProfile %s does not list it for region %s", c.CloudProfile.Name, c.Shoot.Spec.Region))
			}
		}
	}
	return errs
}
