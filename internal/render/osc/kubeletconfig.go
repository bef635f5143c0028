package osc

import (
	"cmp"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// kubeletConfiguration is the pool's part of kubelet's configuration (contract node-agent-and-osc §3.1);
// what this host differs in are drop-ins in --config-dir.
func kubeletConfiguration(c *cluster.Cluster, pool cluster.Pool) *kubeletv1beta1.KubeletConfiguration {
	out := &kubeletv1beta1.KubeletConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: kubeletv1beta1.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},
		Authentication: kubeletv1beta1.KubeletAuthentication{
			Anonymous: kubeletv1beta1.KubeletAnonymousAuthentication{Enabled: new(false)},
			Webhook:   kubeletv1beta1.KubeletWebhookAuthentication{Enabled: new(true), CacheTTL: seconds(120)},
			X509:      kubeletv1beta1.KubeletX509Authentication{ClientCAFile: layout.FileKubeletCA},
		},
		Authorization: kubeletv1beta1.KubeletAuthorization{
			Mode:    kubeletv1beta1.KubeletAuthorizationModeWebhook,
			Webhook: kubeletv1beta1.KubeletWebhookAuthorization{CacheAuthorizedTTL: seconds(300), CacheUnauthorizedTTL: seconds(30)},
		},
		RotateCertificates: true,
		ServerTLSBootstrap: true,
		ReadOnlyPort:       0,
		HealthzBindAddress: "127.0.0.1",
		HealthzPort:        new(int32(layout.PortKubeletHealthz)),

		CgroupDriver:             "systemd",
		ContainerRuntimeEndpoint: "unix://" + layout.SocketContainerd,
		SeccompDefault:           new(true),
		VolumePluginDir:          layout.DirKubelet + "/volumeplugins",
		HairpinMode:              kubeletv1beta1.PromiscuousBridge,
		ClusterDomain:            c.ClusterDomain(),
		ResolverConfig:           new("/etc/resolv.conf"),

		KubeAPIQPS:     new(int32(50)),
		KubeAPIBurst:   50,
		EventRecordQPS: new(int32(50)),
		EventBurst:     50,
		MaxOpenFiles:   1000000,
		MaxPods:        110,

		// Logs and images stay bounded whatever the workload does.
		ContainerLogMaxSize:         "10Mi",
		ContainerLogMaxFiles:        new(int32(5)),
		ImageGCHighThresholdPercent: new(int32(50)),
		ImageGCLowThresholdPercent:  new(int32(40)),

		EvictionHard:                     thresholds("100Mi", "5%"),
		EvictionSoft:                     thresholds("200Mi", "10%"),
		EvictionSoftGracePeriod:          thresholds("1m30s", "1m30s"),
		EvictionPressureTransitionPeriod: seconds(240),
		EvictionMaxPodGracePeriod:        90,

		EnableProfilingHandler:  new(false),
		EnableDebugFlagsHandler: new(false),
		RegisterWithTaints:      kubeletTaints(c, pool),
	}
	for _, address := range c.DNSServiceIPs() {
		out.ClusterDNS = append(out.ClusterDNS, address.String())
	}
	if pool.ControlPlane {
		out.StaticPodPath = layout.DirManifests
		// A static pod that is up before the API gets its mirror pod with its next sync; the default is a minute.
		out.SyncFrequency = seconds(5)
		// Parts of a control plane wait for each other by failing; with the default of five minutes they would meet late.
		period := seconds(10)
		out.CrashLoopBackOff.MaxContainerRestartPeriod = &period
	}
	merge(out, c.Kubelet(pool))
	return out
}

// merge sets what the user wishes over our defaults.
func merge(out *kubeletv1beta1.KubeletConfiguration, user gardencore.KubeletConfig) {
	out.FeatureGates = user.FeatureGates
	out.CPUCFSQuota = user.CPUCFSQuota
	out.PodPidsLimit = user.PodPIDsLimit
	out.FailSwapOn = user.FailSwapOn
	out.RegistryPullQPS = user.RegistryPullQPS
	out.SerializeImagePulls = user.SerializeImagePulls
	out.MaxParallelImagePulls = user.MaxParallelImagePulls
	out.SingleProcessOOMKill = user.SingleProcessOOMKill
	out.PreloadedImagesVerificationAllowlist = user.PreloadedImagesVerificationAllowlist
	out.SeccompDefault = cmp.Or(user.SeccompDefault, out.SeccompDefault)
	out.ContainerLogMaxFiles = cmp.Or(user.ContainerLogMaxFiles, out.ContainerLogMaxFiles)
	out.ImageGCHighThresholdPercent = cmp.Or(user.ImageGCHighThresholdPercent, out.ImageGCHighThresholdPercent)
	out.ImageGCLowThresholdPercent = cmp.Or(user.ImageGCLowThresholdPercent, out.ImageGCLowThresholdPercent)

	override(&out.CPUManagerPolicy, user.CPUManagerPolicy)
	override(&out.MaxPods, user.MaxPods)
	override(&out.RegistryBurst, user.RegistryBurst)
	override(&out.ProtectKernelDefaults, user.ProtectKernelDefaults)
	override(&out.StreamingConnectionIdleTimeout, user.StreamingConnectionIdleTimeout)
	override(&out.ImageMinimumGCAge, user.ImageMinimumGCAge)
	override(&out.ImageMaximumGCAge, user.ImageMaximumGCAge)
	override(&out.EvictionMaxPodGracePeriod, user.EvictionMaxPodGracePeriod)
	override(&out.EvictionPressureTransitionPeriod, user.EvictionPressureTransitionPeriod)
	if size := user.ContainerLogMaxSize; size != nil {
		out.ContainerLogMaxSize = size.String()
	}
	if policy := user.ImagePullCredentialsVerificationPolicy; policy != nil {
		out.ImagePullCredentialsVerificationPolicy = kubeletv1beta1.ImagePullCredentialsVerificationPolicy(*policy)
	}
	if swap := user.MemorySwap; swap != nil && swap.SwapBehavior != nil {
		out.MemorySwap.SwapBehavior = string(*swap.SwapBehavior)
	}
	mergeResources(out, user)
}

func mergeResources(out *kubeletv1beta1.KubeletConfiguration, user gardencore.KubeletConfig) {
	if hard := user.EvictionHard; hard != nil {
		set(out.EvictionHard, signals(hard.MemoryAvailable, hard.ImageFSAvailable, hard.ImageFSInodesFree, hard.NodeFSAvailable, hard.NodeFSInodesFree))
	}
	if soft := user.EvictionSoft; soft != nil {
		set(out.EvictionSoft, signals(soft.MemoryAvailable, soft.ImageFSAvailable, soft.ImageFSInodesFree, soft.NodeFSAvailable, soft.NodeFSInodesFree))
	}
	if grace := user.EvictionSoftGracePeriod; grace != nil {
		set(out.EvictionSoftGracePeriod, signals(duration(grace.MemoryAvailable), duration(grace.ImageFSAvailable),
			duration(grace.ImageFSInodesFree), duration(grace.NodeFSAvailable), duration(grace.NodeFSInodesFree)))
	}
	if least := user.EvictionMinimumReclaim; least != nil {
		out.EvictionMinimumReclaim = map[string]string{}
		set(out.EvictionMinimumReclaim, signals(amount(least.MemoryAvailable), amount(least.ImageFSAvailable),
			amount(least.ImageFSInodesFree), amount(least.NodeFSAvailable), amount(least.NodeFSInodesFree)))
	}
	if reserved := user.KubeReserved; reserved != nil {
		out.KubeReserved = map[string]string{}
		set(out.KubeReserved, map[string]*string{
			"cpu": amount(reserved.CPU), "memory": amount(reserved.Memory),
			"ephemeral-storage": amount(reserved.EphemeralStorage), "pid": amount(reserved.PID),
		})
	}
}

// thresholds gives all eviction signals a value: one for memory and one for disks.
func thresholds(memory, disk string) map[string]string {
	out := map[string]string{}
	set(out, signals(&memory, &disk, &disk, &disk, &disk))
	return out
}

// signals names kubelet's eviction signals, in the order of Gardener's fields.
func signals(memory, imageFS, imageFSInodes, nodeFS, nodeFSInodes *string) map[string]*string {
	return map[string]*string{
		"memory.available": memory, "imagefs.available": imageFS, "imagefs.inodesFree": imageFSInodes,
		"nodefs.available": nodeFS, "nodefs.inodesFree": nodeFSInodes,
	}
}

// set copies the values that there are.
func set(out map[string]string, values map[string]*string) {
	for key, value := range values {
		if value != nil {
			out[key] = *value
		}
	}
}

func override[T any](out *T, wish *T) {
	if wish != nil {
		*out = *wish
	}
}

func amount(q *resource.Quantity) *string {
	if q == nil {
		return nil
	}
	return new(q.String())
}

func duration(d *metav1.Duration) *string {
	if d == nil {
		return nil
	}
	return new(d.Duration.String())
}

func seconds(n int) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(n) * time.Second}
}
