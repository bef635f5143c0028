package cluster

import (
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// ValidateUpdate says what must not have changed between two states of a Shoot (contract shoot-api §3, rules 11 and 14), nor can be
// changed on nodes that run. Both have their defaults.
// That the new one is valid by itself is for New to say. The error is a fault of class usage and lists all problems.
func ValidateUpdate(old, updated *gardencore.Shoot) error {
	errs := slices.Concat(checkControlPlaneUpdate(old, updated), checkStatusUpdate(old.Status, updated.Status), checkFixed(old, updated))
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

// checkFixed is what running nodes, certificates and data of etcd depend on.
func checkFixed(old, updated *gardencore.Shoot) field.ErrorList {
	var errs field.ErrorList
	fixed := func(was, is any, path *field.Path) {
		errs = append(errs, apivalidation.ValidateImmutableField(is, was, path)...)
	}
	fixed(old.Name, updated.Name, field.NewPath("metadata", "name"))
	fixed(old.Namespace, updated.Namespace, field.NewPath("metadata", "namespace"))
	fixed(old.Spec.Region, updated.Spec.Region, spec("region"))
	fixed(old.Spec.Provider.Type, updated.Spec.Provider.Type, spec("provider", "type"))
	if was, is := old.Spec.Networking, updated.Spec.Networking; was != nil && is != nil {
		fixed(was.Type, is.Type, spec("networking", "type"))
		fixed(was.Pods, is.Pods, spec("networking", "pods"))
		fixed(was.Services, is.Services, spec("networking", "services"))
		fixed(was.Nodes, is.Nodes, spec("networking", "nodes"))
		fixed(was.IPFamilies, is.IPFamilies, spec("networking", "ipFamilies"))
	}
	if was, is := old.Spec.DNS, updated.Spec.DNS; was != nil && is != nil {
		fixed(was.Domain, is.Domain, spec("dns", "domain"))
	}
	if was, is := old.Spec.Kubernetes.KubeControllerManager, updated.Spec.Kubernetes.KubeControllerManager; was != nil && is != nil {
		fixed(was.NodeCIDRMaskSize, is.NodeCIDRMaskSize, spec("kubernetes", "kubeControllerManager", "nodeCIDRMaskSize"))
	}
	return slices.Concat(errs, checkVersions(old, updated), checkEncryptionUpdate(old, updated), checkCPUManagerUpdate(old, updated))
}

// checkVersions: another version needs other images, which come with a bundle; that is an upgrade and no change of settings.
func checkVersions(old, updated *gardencore.Shoot) field.ErrorList {
	const detail = "the Kubernetes version of a cluster cannot be changed yet"
	var errs field.ErrorList
	if was, is := old.Spec.Kubernetes.Version, updated.Spec.Kubernetes.Version; was != is {
		errs = append(errs, field.Invalid(spec("kubernetes", "version"), is, detail))
	}
	for i, worker := range updated.Spec.Provider.Workers {
		at := slices.IndexFunc(old.Spec.Provider.Workers, func(other gardencore.Worker) bool { return other.Name == worker.Name })
		if at >= 0 && kubeletVersion(old.Spec.Provider.Workers[at]) != kubeletVersion(worker) {
			errs = append(errs, field.Invalid(pool(i, "kubernetes", "version"), kubeletVersion(worker), detail))
		}
	}
	return errs
}

// kubeletVersion is the worker's own, "" for the cluster's.
func kubeletVersion(worker gardencore.Worker) string {
	if worker.Kubernetes == nil {
		return ""
	}
	return ptr.Deref(worker.Kubernetes.Version, "")
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
