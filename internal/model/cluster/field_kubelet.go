package cluster

// Paths of the two places where a Shoot speaks about kubelets.
const (
	pathKubelet     = "spec.kubernetes.kubelet"
	PathPoolKubelet = "spec.provider.workers[].kubernetes.kubelet"
)

func kubeletSections() []FieldSection {
	return []FieldSection{
		{Title: "kubelet", Fields: below(pathKubelet, kubeletFields()...)},
		{Title: "kubelet of a pool", Fields: below(PathPoolKubelet, kubeletFields()...)},
	}
}

// kubeletFields are in kubelet's configuration file, most by the name that they have there.
func kubeletFields() []Field {
	const noOther = "kubelet knows no other"
	out := []Field{
		configured("cpuManagerPolicy").only(noOther, "none", "static"),
		configured("memorySwap.swapBehavior").only(noOther, "NoSwap", "LimitedSwap"),
		effect("imagePullCredentialsVerificationPolicy", "imagePullCredentialsVerificationPolicy of KubeletConfiguration; "+
			"AlwaysVerify, and NeverVerifyAllowlistedImages for all but that list, ask a registry even for images of a bundle").
			only(noOther, "NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages", "AlwaysVerify"),
	}
	for _, name := range []string{
		"containerLogMaxFiles", "containerLogMaxSize", "cpuCFSQuota", "evictionMaxPodGracePeriod", "evictionPressureTransitionPeriod", "failSwapOn",
		"featureGates", "imageGCHighThresholdPercent", "imageGCLowThresholdPercent", "imageMaximumGCAge", "imageMinimumGCAge", "maxParallelImagePulls",
		"maxPods", "podPidsLimit", "preloadedImagesVerificationAllowlist", "protectKernelDefaults", "registryBurst", "registryPullQPS", "seccompDefault",
		"serializeImagePulls", "singleProcessOOMKill", "streamingConnectionIdleTimeout",
	} {
		out = append(out, configured(name))
	}
	for _, group := range []string{"evictionHard", "evictionSoft", "evictionSoftGracePeriod", "evictionMinimumReclaim"} {
		out = append(out,
			entry(group, "memoryAvailable", "memory.available"),
			entry(group, "imageFSAvailable", "imagefs.available"), entry(group, "imageFSInodesFree", "imagefs.inodesFree"),
			entry(group, "nodeFSAvailable", "nodefs.available"), entry(group, "nodeFSInodesFree", "nodefs.inodesFree"),
		)
	}
	return append(out, entry("kubeReserved", "cpu", "cpu"), entry("kubeReserved", "memory", "memory"),
		entry("kubeReserved", "ephemeralStorage", "ephemeral-storage"), entry("kubeReserved", "pid", "pid"))
}

func configured(name string) Field { return effect(name, name+" of KubeletConfiguration") }

// entry is a field that is a key of a map in kubelet's configuration file.
func entry(group, name, key string) Field {
	return effect(group+"."+name, group+"["+key+"] of KubeletConfiguration")
}
