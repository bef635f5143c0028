package cluster

import (
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// checkEncryptionUpdate: what is in etcd stays readable. A resource can be added: the API server reads what is not encrypted, too.
func checkEncryptionUpdate(old, updated *gardencore.Shoot) field.ErrorList {
	path := spec("kubernetes", "kubeAPIServer", "encryptionConfig")
	was, before := encryption(old)
	is, after := encryption(updated)
	errs := apivalidation.ValidateImmutableField(is, was, path.Child("provider", "type"))
	for _, one := range before {
		if !slices.Contains(after, one) {
			errs = append(errs, invalid(path.Child("resources"), one.String(), "cannot be removed: what is encrypted in etcd could not be read any more"))
		}
	}
	return errs
}

// encryption returns how the API server encrypts, and which resources beside Secrets.
func encryption(shoot *gardencore.Shoot) (gardencore.EncryptionProviderType, []schema.GroupResource) {
	server := shoot.Spec.Kubernetes.KubeAPIServer
	if server == nil || server.EncryptionConfig == nil {
		return gardencore.EncryptionProviderTypeAESCBC, nil
	}
	var out []schema.GroupResource
	for _, text := range server.EncryptionConfig.Resources {
		out = append(out, schema.ParseGroupResource(text))
	}
	return ptr.Deref(server.EncryptionConfig.Provider.Type, gardencore.EncryptionProviderTypeAESCBC), out
}

// checkCPUManagerUpdate: kubelet keeps on disk which CPUs it gave to whom, and ends when its policy is another than before, or when it shall
// keep CPUs for itself that a pod may have. A node that is empty could forget it; nothing empties nodes for a change yet.
func checkCPUManagerUpdate(old, updated *gardencore.Shoot) field.ErrorList {
	const detail = "nodes that run cannot change it: kubelet would not start with the CPUs that it gave away before. Make another pool"
	var errs field.ErrorList
	for i, worker := range updated.Spec.Provider.Workers {
		at := slices.IndexFunc(old.Spec.Provider.Workers, func(other gardencore.Worker) bool { return other.Name == worker.Name })
		if at < 0 {
			continue
		}
		was, _ := kubeletOf(old, at)
		is, path := kubeletOf(updated, i)
		before, after := ptr.Deref(was.CPUManagerPolicy, "none"), ptr.Deref(is.CPUManagerPolicy, "none")
		var err *field.Error
		switch {
		case before != after:
			err = invalid(path.Child("cpuManagerPolicy"), after, detail)
		case after == cpuManagerStatic && keptCPUs(is) > keptCPUs(was):
			err = invalid(path.Child("kubeReserved", "cpu"), keptCPUs(is), "with cpuManagerPolicy static "+detail)
		}
		// Pools without settings of their own share one place.
		if err != nil && !slices.ContainsFunc(errs, func(other *field.Error) bool { return other.Field == err.Field }) {
			errs = append(errs, err)
		}
	}
	return errs
}

// kubeletOf returns the settings of a pool's kubelets, and where they are. They are one place for pools without their own.
func kubeletOf(shoot *gardencore.Shoot, n int) (gardencore.KubeletConfig, *field.Path) {
	if own := shoot.Spec.Provider.Workers[n].Kubernetes; own != nil && own.Kubelet != nil {
		return *own.Kubelet, pool(n, "kubernetes", "kubelet")
	}
	return ptr.Deref(shoot.Spec.Kubernetes.Kubelet, gardencore.KubeletConfig{}), spec("kubernetes", "kubelet")
}

// keptCPUs is how many whole CPUs a kubelet with the policy static keeps for itself and for all that has none of its own.
func keptCPUs(kubelet gardencore.KubeletConfig) int64 {
	if kubelet.KubeReserved == nil || kubelet.KubeReserved.CPU == nil {
		return 0
	}
	return (kubelet.KubeReserved.CPU.MilliValue() + 999) / 1000
}
