package cluster

import (
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/gardener/gardener/pkg/apis/utils/timewindow"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// checkKubelets: what kubelet would refuse when it starts.
func (c *Cluster) checkKubelets() field.ErrorList {
	errs := checkKubelet(spec("kubernetes", "kubelet"), c.Shoot.Spec.Kubernetes.Kubelet)
	for i, one := range c.Pools {
		if own := one.Worker.Kubernetes; own != nil && own.Kubelet != nil {
			errs = append(errs, checkKubelet(pool(i, "kubernetes", "kubelet"), own.Kubelet)...)
		}
	}
	return errs
}

func checkKubelet(path *field.Path, kubelet *gardencore.KubeletConfig) field.ErrorList {
	var errs field.ErrorList
	high, low := ptr.Deref(kubelet.ImageGCHighThresholdPercent, 50), ptr.Deref(kubelet.ImageGCLowThresholdPercent, 40)
	if high < 1 || high > 100 {
		errs = append(errs, invalid(path.Child("imageGCHighThresholdPercent"), high, "must be between 1 and 100"))
	}
	if low < 0 || low >= high {
		errs = append(errs, invalid(path.Child("imageGCLowThresholdPercent"), low, "must be less than imageGCHighThresholdPercent, %d", high))
	}
	if most := ptr.Deref(kubelet.MaxPods, defaultMaxPods); most < 1 {
		errs = append(errs, invalid(path.Child("maxPods"), most, "must be at least 1"))
	}
	return append(errs, checkKubeletValues(path, kubelet)...)
}

// checkMaintenance: a window that a garden takes too.
func (c *Cluster) checkMaintenance() field.ErrorList {
	path, window := spec("maintenance", "timeWindow"), c.Shoot.Spec.Maintenance.TimeWindow
	text := window.Begin + " to " + window.End
	parsed, err := timewindow.ParseMaintenanceTimeWindow(window.Begin, window.End)
	if err != nil {
		return field.ErrorList{invalid(path, text, "begin and end must be of the form HHMMSS+ZONE, for example 220000+0100")}
	}
	const least, most = gardencore.MaintenanceTimeWindowDurationMinimum, gardencore.MaintenanceTimeWindowDurationMaximum
	if length := parsed.Duration(); length < least || length > most {
		return field.ErrorList{invalid(path, text, "must last between %s and %s", least, most)}
	}
	return nil
}
