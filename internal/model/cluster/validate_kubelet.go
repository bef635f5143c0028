package cluster

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// cpuManagerStatic is the policy that gives whole CPUs to pods.
const cpuManagerStatic = "static"

// named is a value of a kubelet's settings; nil for none.
type named[T any] struct {
	name  string
	value *T
}

// checkKubeletValues: with what is refused here kubelet would end right after its start. The settings have their defaults.
func checkKubeletValues(path *field.Path, kubelet *gardencore.KubeletConfig) field.ErrorList {
	errs := slices.Concat(
		checkThresholds(path.Child("evictionHard"), kubelet.EvictionHard),
		checkThresholds(path.Child("evictionSoft"), kubelet.EvictionSoft),
		checkDurations(path, kubelet),
		checkReserved(path, kubelet),
		checkPulls(path, kubelet),
	)
	if files := ptr.Deref(kubelet.ContainerLogMaxFiles, 2); files < 2 {
		errs = append(errs, invalid(path.Child("containerLogMaxFiles"), files, "must be at least 2"))
	}
	if size := kubelet.ContainerLogMaxSize; size != nil && size.Sign() <= 0 {
		errs = append(errs, invalid(path.Child("containerLogMaxSize"), size.String(), "must be more than 0"))
	}
	return errs
}

// checkThresholds: a threshold is an amount or a percentage.
func checkThresholds(path *field.Path, wish *gardencore.KubeletConfigEviction) field.ErrorList {
	if wish == nil {
		return nil
	}
	var errs field.ErrorList
	for _, one := range []named[string]{
		{"memoryAvailable", wish.MemoryAvailable}, {"imageFSAvailable", wish.ImageFSAvailable}, {"imageFSInodesFree", wish.ImageFSInodesFree},
		{"nodeFSAvailable", wish.NodeFSAvailable}, {"nodeFSInodesFree", wish.NodeFSInodesFree},
	} {
		if one.value != nil && !isThreshold(*one.value) {
			errs = append(errs, invalid(path.Child(one.name), *one.value, "must be an amount above 0 such as 100Mi, or a percentage such as 5%%"))
		}
	}
	return errs
}

func isThreshold(text string) bool {
	if number, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.ParseFloat(number, 32)
		return err == nil && !math.IsNaN(percent) && percent >= 0 && percent <= 100
	}
	amount, err := resource.ParseQuantity(text)
	return err == nil && amount.Sign() > 0
}

func checkDurations(path *field.Path, kubelet *gardencore.KubeletConfig) field.ErrorList {
	var errs field.ErrorList
	check := func(path *field.Path, durations ...named[metav1.Duration]) {
		for _, one := range durations {
			if one.value != nil && one.value.Duration < 0 {
				errs = append(errs, invalid(path.Child(one.name), one.value.Duration.String(), "must not be negative"))
			}
		}
	}
	if grace := kubelet.EvictionSoftGracePeriod; grace != nil {
		check(path.Child("evictionSoftGracePeriod"), []named[metav1.Duration]{
			{"memoryAvailable", grace.MemoryAvailable}, {"imageFSAvailable", grace.ImageFSAvailable}, {"imageFSInodesFree", grace.ImageFSInodesFree},
			{"nodeFSAvailable", grace.NodeFSAvailable}, {"nodeFSInodesFree", grace.NodeFSInodesFree},
		}...)
	}
	check(path, []named[metav1.Duration]{
		{"evictionPressureTransitionPeriod", kubelet.EvictionPressureTransitionPeriod}, {"imageMinimumGCAge", kubelet.ImageMinimumGCAge},
		{"imageMaximumGCAge", kubelet.ImageMaximumGCAge}, {"streamingConnectionIdleTimeout", kubelet.StreamingConnectionIdleTimeout},
	}...)
	least := ptr.Deref(kubelet.ImageMinimumGCAge, metav1.Duration{Duration: 2 * time.Minute}).Duration
	if most := ptr.Deref(kubelet.ImageMaximumGCAge, metav1.Duration{}).Duration; most > 0 && most <= least {
		errs = append(errs, invalid(path.Child("imageMaximumGCAge"), most.String(), "must be more than imageMinimumGCAge, %s", least))
	}
	return errs
}

// checkReserved: nothing negative is kept free, and whole CPUs are given away only when some CPU is kept.
func checkReserved(path *field.Path, kubelet *gardencore.KubeletConfig) field.ErrorList {
	var errs field.ErrorList
	check := func(path *field.Path, amounts ...named[resource.Quantity]) {
		for _, one := range amounts {
			if one.value != nil && one.value.Sign() < 0 {
				errs = append(errs, invalid(path.Child(one.name), one.value.String(), "must not be negative"))
			}
		}
	}
	if reclaim := kubelet.EvictionMinimumReclaim; reclaim != nil {
		check(path.Child("evictionMinimumReclaim"), []named[resource.Quantity]{
			{"memoryAvailable", reclaim.MemoryAvailable}, {"imageFSAvailable", reclaim.ImageFSAvailable}, {"imageFSInodesFree", reclaim.ImageFSInodesFree},
			{"nodeFSAvailable", reclaim.NodeFSAvailable}, {"nodeFSInodesFree", reclaim.NodeFSInodesFree},
		}...)
	}
	reserved := ptr.Deref(kubelet.KubeReserved, gardencore.KubeletConfigReserved{})
	check(path.Child("kubeReserved"), []named[resource.Quantity]{
		{"cpu", reserved.CPU}, {"memory", reserved.Memory}, {"ephemeralStorage", reserved.EphemeralStorage}, {"pid", reserved.PID},
	}...)
	if ptr.Deref(kubelet.CPUManagerPolicy, "") == cpuManagerStatic && (reserved.CPU == nil || reserved.CPU.IsZero()) {
		errs = append(errs, invalid(path.Child("kubeReserved", "cpu"), "0", "with cpuManagerPolicy static kubelet must keep some CPU for itself, such as 80m"))
	}
	return errs
}

func checkPulls(path *field.Path, kubelet *gardencore.KubeletConfig) field.ErrorList {
	var errs field.ErrorList
	for _, one := range []named[int32]{{"registryPullQPS", kubelet.RegistryPullQPS}, {"registryBurst", kubelet.RegistryBurst}} {
		if one.value != nil && *one.value < 0 {
			errs = append(errs, invalid(path.Child(one.name), *one.value, "must not be negative"))
		}
	}
	switch parallel := ptr.Deref(kubelet.MaxParallelImagePulls, 1); {
	case parallel < 1:
		errs = append(errs, invalid(path.Child("maxParallelImagePulls"), parallel, "must be at least 1"))
	case parallel > 1 && ptr.Deref(kubelet.SerializeImagePulls, true):
		errs = append(errs, invalid(path.Child("maxParallelImagePulls"), parallel, "needs serializeImagePulls: false"))
	}
	policy := ptr.Deref(kubelet.ImagePullCredentialsVerificationPolicy, "")
	if len(kubelet.PreloadedImagesVerificationAllowlist) > 0 && policy != gardencore.NeverVerifyAllowlistedImages {
		errs = append(errs, invalid(path.Child("preloadedImagesVerificationAllowlist"), kubelet.PreloadedImagesVerificationAllowlist,
			"needs imagePullCredentialsVerificationPolicy: %s", gardencore.NeverVerifyAllowlistedImages))
	}
	return errs
}
