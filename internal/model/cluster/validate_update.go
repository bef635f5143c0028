package cluster

import (
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// ValidateUpdate says what must not have changed between two states of a Shoot (contract shoot-api §3, rules 11 and 14).
// That the new one is valid by itself is for New to say. The error is a fault of class usage and lists all problems.
func ValidateUpdate(old, updated *gardencore.Shoot) error {
	errs := append(checkControlPlaneUpdate(old, updated), checkStatusUpdate(old.Status, updated.Status)...)
	if len(errs) == 0 {
		return nil
	}
	return refuse(problems(manifest.Origin{}, "Shoot", updated, errs))
}

// checkControlPlaneUpdate is rule 11.
func checkControlPlaneUpdate(old, updated *gardencore.Shoot) field.ErrorList {
	_, before := controlPlane(old)
	at, after := controlPlane(updated)
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil || after == nil:
		return field.ErrorList{field.Invalid(spec("provider", "workers"), field.OmitValueType{},
			"a cluster cannot begin or cease to run its own control plane: controlPlane of a pool must stay as it is")}
	}
	errs := apivalidation.ValidateImmutableField(after.Name, before.Name, pool(at, "name"))
	was, is := before.ControlPlane.Backup, after.ControlPlane.Backup
	path := pool(at, "controlPlane", "backup")
	switch {
	case was == nil:
	case is == nil:
		errs = append(errs, field.Required(path, "a backup cannot be removed"))
	default:
		errs = append(errs, apivalidation.ValidateImmutableField(is.Provider, was.Provider, path.Child("provider"))...)
		errs = append(errs, apivalidation.ValidateImmutableField(ptr.Deref(is.Region, ""), ptr.Deref(was.Region, ""), path.Child("region"))...)
	}
	return errs
}

// controlPlane finds the pool that runs the control plane, nil for none.
func controlPlane(shoot *gardencore.Shoot) (at int, found *gardencore.Worker) {
	for i := range shoot.Spec.Provider.Workers {
		if worker := &shoot.Spec.Provider.Workers[i]; worker.ControlPlane != nil {
			return i, worker
		}
	}
	return 0, nil
}

// checkStatusUpdate is rule 14: what was set once stays.
func checkStatusUpdate(old, updated gardencore.ShootStatus) field.ErrorList {
	var errs field.ErrorList
	for _, one := range []struct{ name, was, is string }{
		{"technicalID", old.TechnicalID, updated.TechnicalID},
		{"uid", string(old.UID), string(updated.UID)},
		{"clusterIdentity", ptr.Deref(old.ClusterIdentity, ""), ptr.Deref(updated.ClusterIdentity, "")},
	} {
		if one.was != "" {
			errs = append(errs, apivalidation.ValidateImmutableField(one.is, one.was, field.NewPath("status", one.name))...)
		}
	}
	return errs
}
