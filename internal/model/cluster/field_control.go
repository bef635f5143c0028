package cluster

func apiServerFields() []FieldSection {
	return []FieldSection{{Title: "kube-apiserver", Fields: below("spec.kubernetes.kubeAPIServer",
		effect("featureGates", "--feature-gates"),
		effect("runtimeConfig", "--runtime-config"),
		effect("apiAudiences", "--api-audiences, with gardener added"),
		effect("tlsMinVersion", "--tls-min-version").only("Gardener knows no other", "VersionTLS12", "VersionTLS13"),
		effect("eventTTL", "--event-ttl"),
		effect("requests.maxNonMutatingInflight", "--max-requests-inflight"),
		effect("requests.maxMutatingInflight", "--max-mutating-requests-inflight"),
		effect("logging.verbosity", "--v"),
		effect("logging.httpAccessVerbosity", "--vmodule=httplog"),
		effect("defaultNotReadyTolerationSeconds", "--default-not-ready-toleration-seconds"),
		effect("defaultUnreachableTolerationSeconds", "--default-unreachable-toleration-seconds"),
		effect("watchCacheSizes.resources[].apiGroup", "--watch-cache-sizes: the group after the resource's name"),
		effect("watchCacheSizes.resources[].resource", "--watch-cache-sizes: the resource"),
		effect("watchCacheSizes.resources[].size", "--watch-cache-sizes: to kube-apiserver only 0 means something, no cache"),
		refused("watchCacheSizes.default", "kube-apiserver has not heeded it for years, and Gardener dropped it with Kubernetes 1.35"),
		effect("autoscaling.minAllowed", "the static pod requests at least that much cpu and memory"),

		effect("admissionPlugins[].name", "--enable-admission-plugins, on top of Kubernetes' defaults and NodeRestriction"),
		effect("admissionPlugins[].disabled", "--disable-admission-plugins"),
		effect("admissionPlugins[].config", "the plugin's configuration in --admission-control-config-file"),
		effect("admissionPlugins[].kubeconfigSecretName", "key kubeconfig of that Secret, named as kubeConfigFile in the plugin's configuration"),

		effect("auditConfig.auditPolicy.configMapRef", "key policy of that ConfigMap is --audit-policy-file; the default logs who changed what, without contents"),
		effect("structuredAuthentication.configMapName", "key config.yaml of that ConfigMap is --authentication-config; anonymous requests for health and cluster-info stay possible"),
		effect("structuredAuthorization.configMapName", "the webhooks in key config.yaml of that ConfigMap stand in --authorization-config after Node and RBAC"),
		effect("structuredAuthorization.kubeconfigs[].authorizerName", "the webhook of that name …"),
		effect("structuredAuthorization.kubeconfigs[].secretName", "… is asked with key kubeconfig of that Secret"),
		refused("enableAnonymousAuthentication", "Gardener dropped it with Kubernetes 1.35: use structuredAuthentication"),

		effect("serviceAccountConfig.issuer", "first --service-account-issuer; the default is https://api.DOMAIN"),
		effect("serviceAccountConfig.acceptedIssuers", "further --service-account-issuer"),
		effect("serviceAccountConfig.extendTokenExpiration", "--service-account-extend-token-expiration"),
		effect("serviceAccountConfig.maxTokenExpiration", "--service-account-max-token-expiration"),

		effect("encryptionConfig.resources", "encrypted in etcd beside Secrets (--encryption-provider-config)"),
		effect("encryptionConfig.provider.type", "how they are encrypted").only("kube-apiserver has no other for a local key", "aescbc", "aesgcm", "secretbox"),
	)}}
}

func controllerFields() []FieldSection {
	return []FieldSection{
		{Title: "kube-controller-manager", Fields: below("spec.kubernetes.kubeControllerManager",
			effect("featureGates", "--feature-gates"),
			effect("nodeCIDRMaskSize", "--node-cidr-mask-size"),
			refused("nodeCIDRMaskSizeIPv6", "IPv6 is not supported yet"),
			effect("nodeMonitorGracePeriod", "--node-monitor-grace-period; below 46s kubelet gives up dead connections earlier, too"),
			refused("podEvictionTimeout", "kube-controller-manager dropped it: use defaultNotReadyTolerationSeconds and defaultUnreachableTolerationSeconds of kubeAPIServer"),
			effect("horizontalPodAutoscaler.cpuInitializationPeriod", "--horizontal-pod-autoscaler-cpu-initialization-period"),
			effect("horizontalPodAutoscaler.downscaleStabilization", "--horizontal-pod-autoscaler-downscale-stabilization"),
			effect("horizontalPodAutoscaler.initialReadinessDelay", "--horizontal-pod-autoscaler-initial-readiness-delay"),
			effect("horizontalPodAutoscaler.syncPeriod", "--horizontal-pod-autoscaler-sync-period"),
			effect("horizontalPodAutoscaler.tolerance", "--horizontal-pod-autoscaler-tolerance"),
		)},
		{Title: "kube-scheduler", Fields: below("spec.kubernetes.kubeScheduler",
			effect("featureGates", "--feature-gates"),
			effect("profile", "bin-packing: nodes are filled one after the other (NodeResourcesFit with MostAllocated), for every pod").
				only("Gardener knows no other", "balanced", "bin-packing"),
			refused("kubeMaxPDVols", "kube-scheduler dropped it: drivers say how many volumes a node can have"),
		)},
		{Title: "kube-proxy", Fields: below("spec.kubernetes.kubeProxy",
			effect("featureGates", "featureGates of KubeProxyConfiguration"),
			checked("mode", "mode of KubeProxyConfiguration").only("the images have nft and neither iptables nor ipvsadm", "NFTables"),
			checked("enabled", "must be true: with the network flannel nothing else would serve Services"),
		)},
		{Title: "etcd, autoscalers, version", Fields: below("spec.kubernetes",
			effect("version", "the version of all parts of Kubernetes; one bundle carries one"),
			effect("etcd.main.autoscaling.minAllowed", "the static pod requests at least that much cpu and memory"),
			refused("etcd.events", "one etcd keeps events, too"),
			refused("clusterAutoscaler", noAutoscaler),
			refused("verticalPodAutoscaler.enabled", "this version has no vertical pod autoscaler").unless("false"),
			kept("verticalPodAutoscaler", "there is no vertical pod autoscaler that it could say something about"),
		)},
	}
}
