package cluster

import (
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// defaulted returns the Shoot as a garden would keep it (contract shoot-api §4). Our defaults come first and stand in the Shoot
// where they differ from Gardener's, so that connecting to a garden changes nothing. Nothing is drawn by lot: the same Shoot gives
// the same result, and a defaulted one itself.
func defaulted(in *gardencore.Shoot) *gardencore.Shoot {
	out := in.DeepCopy()
	if profile := out.Spec.CloudProfile; profile != nil && profile.Kind == "" {
		profile.Kind = constants.CloudProfileReferenceKindCloudProfile // a garden fills it in when it admits the Shoot
	}
	defaultMaintenance(&out.Spec)
	defaultKubeProxy(&out.Spec)
	defaultAutoscaler(&out.Spec)
	defaultAudit(&out.Spec)
	defaultKubelet(ensure(&out.Spec.Kubernetes.Kubelet))
	for i := range out.Spec.Provider.Workers {
		// A pool's own settings replace the cluster's whole, so they need the same defaults.
		if own := out.Spec.Provider.Workers[i].Kubernetes; own != nil && own.Kubelet != nil {
			defaultKubelet(own.Kubelet)
		}
	}
	gardencore.SetObjectDefaults_Shoot(out)
	return out.DeepCopy() // Gardener's defaults point to variables of their package
}

// defaultMaintenance: Gardener draws a window, and lets the garden update versions. A bundle carries one version, and updates are
// for whoever brings the next.
func defaultMaintenance(spec *gardencore.ShootSpec) {
	maintenance := ensure(&spec.Maintenance)
	unless(&maintenance.TimeWindow, gardencore.MaintenanceTimeWindow{Begin: "220000+0000", End: "230000+0000"})
	unless(&maintenance.AutoUpdate, gardencore.MaintenanceAutoUpdate{KubernetesVersion: false})
	unless(&maintenance.AutoUpdate.MachineImageVersion, false)
}

// defaultKubeProxy: Gardener's mode is IPTables, which needs more privileges and more time per Service.
func defaultKubeProxy(spec *gardencore.ShootSpec) {
	unless(&ensure(&spec.Kubernetes.KubeProxy).Mode, gardencore.ProxyModeNFTables)
}

// defaultAutoscaler: Gardener's is 30s (DefaultHPASyncPeriod), ours Kubernetes' own.
func defaultAutoscaler(spec *gardencore.ShootSpec) {
	autoscaler := ensure(&ensure(&spec.Kubernetes.KubeControllerManager).HorizontalPodAutoscalerConfig)
	unless(&autoscaler.SyncPeriod, metav1.Duration{Duration: 15 * time.Second})
}

// defaultKubelet: "Gardener" in it is what the API's documentation of KubeletConfig says.
func defaultKubelet(kubelet *gardencore.KubeletConfig) {
	// Gardener's 50 and 40 suit nodes whose disk is their own. Who sets one of the two means it together with Gardener's other.
	if kubelet.ImageGCHighThresholdPercent == nil && kubelet.ImageGCLowThresholdPercent == nil {
		unless(&kubelet.ImageGCHighThresholdPercent, 85)
		unless(&kubelet.ImageGCLowThresholdPercent, 80)
	}
	// Gardener: off.
	unless(&kubelet.SeccompDefault, true)
	// Gardener: 100Mi. A full disk is what ends small machines.
	unless(&kubelet.ContainerLogMaxSize, resource.MustParse("10Mi"))
	// Gardener: on. The kernel's settings are the node configuration's; a machine that is a container cannot have them all.
	unless(&kubelet.ProtectKernelDefaults, false)
	// Gardener: 5m, which ends a quiet `kubectl logs -f`. Ours is kubelet's own.
	unless(&kubelet.StreamingConnectionIdleTimeout, metav1.Duration{Duration: 4 * time.Hour})
	// Gardener: 80m of CPU, 1Gi and 20k processes, too much of a small machine. A kubelet that gives whole CPUs to pods must keep some.
	reserved := ensure(&kubelet.KubeReserved)
	if ptr.Deref(kubelet.CPUManagerPolicy, "") == cpuManagerStatic {
		unless(&reserved.CPU, resource.MustParse("80m"))
	}
	unless(&reserved.CPU, resource.Quantity{})
	unless(&reserved.Memory, resource.Quantity{})
	unless(&reserved.PID, resource.Quantity{})
}

// ensure returns what at points to, made first where it is missing.
func ensure[T any](at **T) *T {
	if *at == nil {
		*at = new(T)
	}
	return *at
}

// unless sets a value where there is none.
func unless[T any](at **T, value T) {
	if *at == nil {
		*at = &value
	}
}
