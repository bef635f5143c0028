package pool

import (
	_ "embed"
	"encoding/json"
	"maps"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

//go:embed testdata/authority.pem
var authority string

// trials are one for each field with an effect, by path; all start from base.
func trials() map[string]trial {
	out := map[string]trial{
		"metadata.annotations[" + cluster.AnnotationShared + "]": {value: `"false"`},
		"spec.region":                                            {value: "other"},
		"spec.dns.domain":                                        {value: "other.example.com"},
		"spec.networking.providerConfig":                         {value: "{backend: vxlan}"},
		"spec.networking.pods":                                   {value: "100.112.0.0/16"},
		"spec.networking.services":                               {value: "100.65.0.0/16"},
		"spec.networking.nodes":                                  {value: "10.90.0.0/16"},
		"spec.maintenance.timeWindow.begin":                      {value: "033000+0100"},
		"spec.maintenance.timeWindow.end":                        {value: "043000+0100"},
		"spec.kubernetes.version":                                {value: "1.36.99"},
		"spec.extensions[].providerConfig":                       {value: registryAccess("http://other.example.com:3128")},
		"spec.extensions[].disabled":                             {value: "true"},
		"spec.resources[].resourceRef":                           {value: "{apiVersion: v1, kind: Secret, name: two}"},
		"spec.kubernetes.etcd.main.autoscaling.minAllowed":       {value: "{cpu: 61m, memory: 96Mi}"},
		"spec.systemComponents.coreDNS.rewriting.commonSuffixes": {value: "[example.org]"},
		"spec.resources[].name":                                  {value: "spare", with: func(s *gardencore.Shoot) { s.Spec.Resources[1].Name = "proxy" }},
		"spec.extensions[].type": {value: "registry-mirror", with: func(s *gardencore.Shoot) {
			s.Spec.Extensions[0].ProviderConfig = &runtime.RawExtension{Raw: []byte(`{"apiVersion":"mirror.extensions.gardener.cloud/v1alpha1","kind":"MirrorConfig",` +
				`"mirrors":[{"upstream":"docker.io","hosts":[{"host":"https://mirror.example"}]}]}`)}
		}},
	}
	maps.Copy(out, apiServerTrials("spec.kubernetes.kubeAPIServer."))
	maps.Copy(out, controllerTrials("spec.kubernetes."))
	maps.Copy(out, workerTrials("spec.provider.workers[]."))
	for path, one := range kubeletTrials() {
		out["spec.kubernetes.kubelet."+path] = trial{value: one.value, given: kubelet(one.given, false)}
		out[cluster.PathPoolKubelet+"."+path] = trial{value: one.value, given: kubelet(one.given, true)}
	}
	return out
}

func registryAccess(proxy string) string {
	return "{apiVersion: config.gardenadm.dev/v1alpha1, kind: RegistryAccess, httpProxy: '" + proxy + "', proxySecretRef: {resourceName: proxy}}"
}

func apiServerTrials(below string) map[string]trial {
	plugins := func(choose string) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			for i, plugin := range s.Spec.Kubernetes.KubeAPIServer.AdmissionPlugins {
				if plugin.Name == choose {
					list := s.Spec.Kubernetes.KubeAPIServer.AdmissionPlugins
					list[0], list[i] = list[i], list[0]
				}
			}
		}
	}
	authorizers := func(names ...string) func(*gardencore.Shoot) {
		return func(s *gardencore.Shoot) {
			authorization := s.Spec.Kubernetes.KubeAPIServer.StructuredAuthorization
			authorization.ConfigMapName, authorization.Kubeconfigs = authorizationOfTwo, nil
			for i, name := range names {
				authorization.Kubeconfigs = append(authorization.Kubeconfigs, gardencore.AuthorizerKubeconfigReference{
					AuthorizerName: name, SecretName: []string{"authorizer", "admission"}[i],
				})
			}
		}
	}
	both := authorizers("guests", "others")
	return under(below, map[string]trial{
		"featureGates": {value: "{APIResponseCompression: true}"}, "runtimeConfig": {value: "{admissionregistration.k8s.io/v1beta1: false}"},
		"apiAudiences": {value: "[other]"}, "tlsMinVersion": {value: "VersionTLS12"}, "eventTTL": {value: "3h"},
		"requests.maxNonMutatingInflight": {value: "501"}, "requests.maxMutatingInflight": {value: "251"},
		"logging.verbosity": {value: "4"}, "logging.httpAccessVerbosity": {value: "4"},
		"defaultNotReadyTolerationSeconds": {value: "61"}, "defaultUnreachableTolerationSeconds": {value: "91"},
		"watchCacheSizes.resources[].apiGroup": {value: "batch"}, "watchCacheSizes.resources[].resource": {value: "daemonsets"},
		"watchCacheSizes.resources[].size": {value: "1"}, "autoscaling.minAllowed": {value: "{cpu: 201m, memory: 320Mi}"},
		"admissionPlugins[].name": {value: "AlwaysPullImages"}, "admissionPlugins[].disabled": {value: "true"},
		"admissionPlugins[].config":                            {given: plugins("PodSecurity"), value: "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration}"},
		"admissionPlugins[].kubeconfigSecretName":              {given: plugins("ValidatingAdmissionWebhook"), value: "authorizer"},
		"auditConfig.auditPolicy.configMapRef":                 {value: "{name: audit-2}"},
		"structuredAuthentication.configMapName":               {value: "authentication-2"},
		"structuredAuthorization.configMapName":                {value: "authorization-2"},
		"structuredAuthorization.kubeconfigs[].authorizerName": {value: "others", given: both, with: authorizers("guests", "guests")},
		"structuredAuthorization.kubeconfigs[].secretName":     {value: "admission", given: both},
		"serviceAccountConfig.issuer":                          {value: "https://other.example.com"},
		"serviceAccountConfig.acceptedIssuers":                 {value: "[https://other.example.com]"},
		"serviceAccountConfig.extendTokenExpiration":           {value: "true"},
		"serviceAccountConfig.maxTokenExpiration":              {value: "721h"},
		"encryptionConfig.resources":                           {value: "[events]"},
		"encryptionConfig.provider.type":                       {value: "aesgcm"},
	})
}

func controllerTrials(below string) map[string]trial {
	return under(below, map[string]trial{
		"kubeControllerManager.featureGates":                                    {value: "{HPAConfigurableTolerance: true}"},
		"kubeControllerManager.nodeCIDRMaskSize":                                {value: "26"},
		"kubeControllerManager.nodeMonitorGracePeriod":                          {value: "43s"},
		"kubeControllerManager.horizontalPodAutoscaler.cpuInitializationPeriod": {value: "6m"},
		"kubeControllerManager.horizontalPodAutoscaler.downscaleStabilization":  {value: "11m"},
		"kubeControllerManager.horizontalPodAutoscaler.initialReadinessDelay":   {value: "21s"},
		"kubeControllerManager.horizontalPodAutoscaler.syncPeriod":              {value: "21s"},
		"kubeControllerManager.horizontalPodAutoscaler.tolerance":               {value: "0.3"},
		"kubeScheduler.featureGates":                                            {value: "{OpportunisticBatching: true}"},
		"kubeScheduler.profile":                                                 {value: "balanced"},
		"kubeProxy.featureGates":                                                {value: "{ContextualLogging: true}"},
	})
}

func workerTrials(below string) map[string]trial {
	arm64 := func(s *gardencore.Shoot) {
		for i := range s.Spec.Provider.Workers {
			machine := &s.Spec.Provider.Workers[i].Machine
			machine.Type = "any-arm64"
			machine.Architecture = nil
		}
	}
	return under(below, map[string]trial{
		"name":   {value: "first"},
		"labels": {value: "{node-restriction.kubernetes.io/team: red}"}, "annotations": {value: "{example.com/owner: other}"},
		"taints": {value: "[]"}, "zones": {value: "[zone-b]", given: func(s *gardencore.Shoot) {
			s.Spec.Provider.Workers[1].SystemComponents = &gardencore.WorkerSystemComponents{}
		}},
		"systemComponents.allow": {value: "false"}, "sysctls": {value: `{net/core/somaxconn: "4097"}`},
		"caBundle":             {value: string(quoted(authority))},
		"maximum":              {value: "3", with: func(s *gardencore.Shoot) { s.Spec.Provider.Workers[0].Minimum = 3 }},
		"machine.architecture": {value: "arm64", given: arm64},
		"controlPlane": {value: "null", with: func(s *gardencore.Shoot) {
			s.Spec.Provider.Workers[1].ControlPlane = &gardencore.WorkerControlPlane{}
		}},
	})
}

// kubelet prepares the settings of a pool's own kubelet, or all others', of what both have at first.
func kubelet(prepare func(*gardencore.KubeletConfig), own bool) func(*gardencore.Shoot) {
	if prepare == nil && !own {
		return nil
	}
	return func(s *gardencore.Shoot) {
		if prepare != nil {
			prepare(s.Spec.Kubernetes.Kubelet)
		}
		if own {
			s.Spec.Provider.Workers[0].Kubernetes = &gardencore.WorkerKubernetes{Kubelet: s.Spec.Kubernetes.Kubelet.DeepCopy()}
		}
	}
}

// kubeletTrial is a trial whose given is about a kubelet.
type kubeletTrial struct {
	value string
	given func(*gardencore.KubeletConfig)
}

func kubeletTrials() map[string]kubeletTrial {
	out := map[string]kubeletTrial{
		"preloadedImagesVerificationAllowlist": {value: "[example.com/image]", given: func(k *gardencore.KubeletConfig) {
			k.ImagePullCredentialsVerificationPolicy = ptr.To(gardencore.NeverVerifyAllowlistedImages)
		}},
		"serializeImagePulls": {value: "true", given: func(k *gardencore.KubeletConfig) { k.MaxParallelImagePulls = nil }},
	}
	for path, value := range map[string]string{
		"cpuManagerPolicy": "static", "memorySwap.swapBehavior": "LimitedSwap", "imagePullCredentialsVerificationPolicy": "AlwaysVerify",
		"containerLogMaxFiles": "4", "containerLogMaxSize": "6Mi", "cpuCFSQuota": "false", "evictionMaxPodGracePeriod": "61",
		"evictionPressureTransitionPeriod": "4m", "failSwapOn": "true", "featureGates": "{ReloadKubeletServerCertificateFile: true}",
		"imageGCHighThresholdPercent": "96", "imageGCLowThresholdPercent": "89", "imageMaximumGCAge": "101h", "imageMinimumGCAge": "11m",
		"maxParallelImagePulls": "4", "maxPods": "61", "podPidsLimit": "4097", "protectKernelDefaults": "true", "registryBurst": "15",
		"registryPullQPS": "8", "seccompDefault": "true", "singleProcessOOMKill": "false", "streamingConnectionIdleTimeout": "2h",
		"kubeReserved.cpu": "61m", "kubeReserved.memory": "101Mi", "kubeReserved.ephemeralStorage": "101Mi", "kubeReserved.pid": "11k",
	} {
		out[path] = kubeletTrial{value: value}
	}
	for _, name := range []string{"memoryAvailable", "imageFSAvailable", "imageFSInodesFree", "nodeFSAvailable", "nodeFSInodesFree"} {
		for group, value := range map[string]string{
			"evictionHard": "7%", "evictionSoft": "8%", "evictionSoftGracePeriod": "3m", "evictionMinimumReclaim": "12Mi",
		} {
			out[group+"."+name] = kubeletTrial{value: value}
		}
	}
	return out
}

func under(path string, trials map[string]trial) map[string]trial {
	out := map[string]trial{}
	for name, one := range trials {
		out[path+name] = one
	}
	return out
}

func quoted(text string) []byte {
	out, _ := json.Marshal(text) // strings always encode
	return out
}
