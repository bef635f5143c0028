package cluster

import (
	"fmt"
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// checkSelfHosted is contract shoot-api §3, rules 1-4 and 12.
func (c *Cluster) checkSelfHosted() field.ErrorList {
	var errs field.ErrorList
	var found []string
	for _, pool := range c.Pools {
		if pool.ControlPlane {
			found = append(found, pool.Name)
		}
	}
	switch {
	case len(found) == 0:
		errs = append(errs, field.Required(spec("provider", "workers"), "one pool must have controlPlane set; an empty one ({}) is enough"))
	case len(found) > 1:
		errs = append(errs, invalid(spec("provider", "workers"), strings.Join(found, ", "), "only one pool may have controlPlane set"))
	}
	if got := c.Shoot.Namespace; got != constants.GardenNamespace {
		errs = append(errs, invalid(field.NewPath("metadata", "namespace"), got, "must be %s", constants.GardenNamespace))
	}
	if c.Shoot.Spec.SeedName != nil {
		errs = append(errs, field.Forbidden(spec("seedName"), "the cluster runs its own control plane"))
	}
	if c.Shoot.Spec.Hibernation != nil {
		errs = append(errs, field.Forbidden(spec("hibernation"), "a cluster that runs its own control plane could not wake up"))
	}
	return append(errs, c.checkOperations()...)
}

// checkOperations is rule 12: nobody can replace machines that nobody manages.
func (c *Cluster) checkOperations() field.ErrorList {
	var errs field.ErrorList
	for _, key := range []string{constants.GardenerOperation, constants.GardenerMaintenanceOperation} {
		for operation := range strings.SplitSeq(c.Shoot.Annotations[key], constants.GardenerOperationsSeparator) {
			name, _, _ := strings.Cut(strings.TrimSpace(operation), "=")
			if name == constants.OperationRotateRolloutWorkers || name == constants.OperationRolloutWorkers {
				errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations").Key(key), name+": the machines are not managed"))
			}
		}
	}
	return errs
}

// checkBackup is rule 8, and that a region is named where the provider is another one (contract shoot-api §2, controlPlane).
func (c *Cluster) checkBackup() field.ErrorList {
	var errs field.ErrorList
	for i, one := range c.Pools {
		if !one.ControlPlane || one.Worker.ControlPlane.Backup == nil {
			continue
		}
		backup, path := one.Worker.ControlPlane.Backup, pool(i, "controlPlane", "backup")
		switch {
		case backup.Provider == "":
			errs = append(errs, field.Required(path.Child("provider"), ""))
		case backup.Provider != c.Shoot.Spec.Provider.Type && ptr.Deref(backup.Region, "") == "":
			errs = append(errs, field.Required(path.Child("region"), "the backup's provider is not the Shoot's"))
		}
		ref, path := backup.CredentialsRef, path.Child("credentialsRef")
		switch {
		case ref == nil:
			errs = append(errs, field.Required(path, "must name a Secret"))
		case ref.APIVersion != "v1" || ref.Kind != kindSecret:
			errs = append(errs, unsupported(path.Child("kind"), ref.Kind, "only a Secret (apiVersion v1)"))
		case ref.Namespace != c.Shoot.Namespace:
			errs = append(errs, invalid(path.Child("namespace"), ref.Namespace, "must be the Shoot's, %s", c.Shoot.Namespace))
		default:
			errs = append(errs, c.checkExists(path.Child("name"), kindSecret, ref.Name)...)
		}
	}
	return errs
}

// checkExposure is rule 9.
func (c *Cluster) checkExposure() field.ErrorList {
	var errs field.ErrorList
	for i, one := range c.Pools {
		if !one.ControlPlane || one.Worker.ControlPlane.Exposure == nil {
			continue
		}
		exposure, path := one.Worker.ControlPlane.Exposure, pool(i, "controlPlane", "exposure")
		if exposure.DNS != nil && exposure.Extension != nil {
			errs = append(errs, field.Invalid(path, field.OmitValueType{}, "dns and extension exclude each other"))
		}
		if exposure.Extension != nil {
			kind := ptr.Deref(exposure.Extension.Type, "")
			for _, wrong := range validation.IsDNS1123Label(kind) {
				errs = append(errs, field.Invalid(path.Child("extension", "type"), kind, wrong))
			}
		}
	}
	return errs
}

// checkSystemPools is rule 10: system components need nodes, in every zone of their pools and in no zone without a control plane.
func (c *Cluster) checkSystemPools() field.ErrorList {
	var errs field.ErrorList
	found := false
	for i, one := range c.Pools {
		if !one.Worker.SystemComponents.Allow || one.Worker.Maximum < 1 {
			continue
		}
		found = true
		if most, zones := int(one.Worker.Maximum), len(one.Worker.Zones); most < zones {
			errs = append(errs, invalid(pool(i, "maximum"), one.Worker.Maximum, "must be at least the number of zones, %d: the pool is for system components", zones))
		}
		if extra := sets.New(one.Worker.Zones...).Difference(sets.New(c.ControlPlane.Worker.Zones...)); !one.ControlPlane && extra.Len() > 0 {
			errs = append(errs, invalid(pool(i, "zones"), strings.Join(sets.List(extra), ", "), "not a zone of the control plane; the pool is for system components"))
		}
	}
	if !found && len(c.Pools) > 0 {
		errs = append(errs, field.Required(spec("provider", "workers"), "one pool with nodes must have systemComponents.allow"))
	}
	return errs
}

// checkControlPlaneSize takes the place of rules 5-7: etcd needs an odd number of members, and more than five only slow it down.
func (c *Cluster) checkControlPlaneSize() field.ErrorList {
	var errs field.ErrorList
	for i, one := range c.Pools {
		switch {
		case !one.ControlPlane:
		case one.Worker.Minimum != one.Worker.Maximum:
			errs = append(errs, invalid(pool(i, "maximum"), one.Worker.Maximum, "must be the same as minimum in the control plane's pool"))
		case !slices.Contains([]int32{1, 3, 5}, one.Worker.Maximum):
			errs = append(errs, invalid(pool(i, "maximum"), one.Worker.Maximum, "the control plane must have 1, 3 or 5 nodes"))
		}
	}
	return errs
}

// warnings are rules 5-7, which a garden has and we have not, and what is given and not used.
func (c *Cluster) warnings() []string {
	var out []string
	say := func(path *field.Path, format string, args ...any) {
		out = append(out, fmt.Sprintf("this Shoot cannot be connected to Gardener up to 1.150: %s: %s", path, fmt.Sprintf(format, args...)))
	}
	at := slices.IndexFunc(c.Pools, func(pool Pool) bool { return pool.ControlPlane })
	worker := c.ControlPlane.Worker
	if worker.Maximum != 1 {
		say(pool(at, "maximum"), "a garden wants exactly 1 control plane node, not %d", worker.Maximum)
	}
	available := c.Shoot.Spec.ControlPlane != nil && c.Shoot.Spec.ControlPlane.HighAvailability != nil
	path := spec("controlPlane", "highAvailability")
	switch {
	case !available && worker.Maximum != 1:
		say(path, "a garden wants it for more than 1 control plane node")
	case !available:
	case worker.Maximum != 3 || worker.MaxSurge.String() != "1" || worker.MaxUnavailable.String() != "1":
		say(path, "a garden wants maximum 3, maxSurge 1 and maxUnavailable 1 of the control plane's pool with it")
	case c.Shoot.Spec.ControlPlane.HighAvailability.FailureTolerance.Type == gardencore.FailureToleranceTypeZone && len(worker.Zones) != 3:
		say(path.Child("failureTolerance", "type"), "a garden wants exactly 3 zones of the control plane's pool with it")
	}
	return append(out, c.unusedBindings()...)
}

// unusedBindings: without a name in the Shoot they mean nothing (contract shoot-api §1, derived identity).
func (c *Cluster) unusedBindings() []string {
	var out []string
	if binding := c.Manifests.CredentialsBinding; binding != nil {
		out = append(out, fmt.Sprintf("CredentialsBinding %s is not used: the Shoot does not name it", binding.Name))
	}
	if binding := c.Manifests.SecretBinding; binding != nil {
		out = append(out, fmt.Sprintf("SecretBinding %s is not used: the Shoot does not name it", binding.Name))
	}
	return out
}
