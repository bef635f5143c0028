package cluster_test

import (
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// networkRules: pods, services and nodes are 100.96.0.0/11, 100.64.0.0/13 and 10.250.0.0/16 in the built-in set.
func networkRules() []rule {
	pods := func(cidr string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Pods = ptr.To(cidr) })
	}
	services := func(cidr string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Services = ptr.To(cidr) })
	}
	nodes := func(cidr string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Nodes = ptr.To(cidr) })
	}
	families := func(families ...gardencore.IPFamily) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Networking.IPFamilies = families })
	}
	mask := func(bits int32) change {
		return shoot(func(s *gardencore.Shoot) {
			s.Spec.Kubernetes.KubeControllerManager = &gardencore.KubeControllerManagerConfig{NodeCIDRMaskSize: &bits}
		})
	}
	network := func(name string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Type = ptr.To(name) })
	}
	calico := []gardencore.ControllerResource{{Kind: "Network", Type: "calico"}}
	const nodeMask = "spec.kubernetes.kubeControllerManager.nodeCIDRMaskSize"
	return []rule{
		{name: "own: there is a pod network", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Pods = nil }), path: "spec.networking.pods"},
		{name: "own: there is a service network", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Services = nil }), path: "spec.networking.services"},
		{name: "own: there is a node network", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Nodes = nil }), path: "spec.networking.nodes"},
		{name: "own: a network is a network", accept: pods("10.1.0.0/16"), refuse: pods("10.1.0.0"), path: "spec.networking.pods"},
		{name: "own: a network ends with its mask", accept: nodes("10.1.2.0/24"), refuse: nodes("10.1.2.3/24"), path: "spec.networking.nodes"},
		{name: "own: pods and services are apart", accept: services("100.128.0.0/16"), refuse: services("100.96.0.0/16"), path: "spec.networking.services"},
		{name: "own: pods and nodes are apart", accept: nodes("100.128.0.0/16"), refuse: nodes("100.97.0.0/16"), path: "spec.networking.nodes"},
		{name: "own: services and nodes are apart", refuse: nodes("100.70.0.0/16"), accept: nodes("100.72.0.0/16"), path: "spec.networking.nodes"},
		{name: "own: no loopback network", refuse: nodes("127.0.0.0/16"), path: "spec.networking.nodes"},
		{name: "own: no link-local network", refuse: nodes("169.254.0.0/16"), path: "spec.networking.nodes"},
		{name: "own: no multicast network", refuse: nodes("224.0.0.0/8"), path: "spec.networking.nodes"},
		{name: "own: no network of the endpoint proxy", refuse: nodes("240.0.0.0/8"), path: "spec.networking.nodes"},
		{name: "own: room for the DNS Service", accept: services("10.1.0.0/28"), refuse: services("10.1.0.0/29"), path: "spec.networking.services"},
		{name: "own: services within kube-apiserver's limit", accept: services("172.16.0.0/12"), refuse: services("32.0.0.0/11"), path: "spec.networking.services"},

		{name: "own: a node's range is of a sensible size", accept: mask(23), refuse: mask(29), path: nodeMask},
		{name: "own: a node's range holds its pods", accept: mask(25), refuse: mask(26), path: nodeMask},
		{name: "own: a node's range holds many pods", path: nodeMask,
			accept: shoot(func(s *gardencore.Shoot) { s.Spec.Kubernetes.Kubelet.MaxPods = ptr.To[int32](500) }),
			refuse: all(mask(24), shoot(func(s *gardencore.Shoot) { s.Spec.Kubernetes.Kubelet.MaxPods = ptr.To[int32](500) }))},
		{name: "own: a range for every node", accept: all(size(3, 3), pods("10.1.0.0/22")), refuse: all(size(3, 3), pods("10.1.0.0/23")),
			path: "spec.networking.pods"},
		{name: "own: the pod network holds a node's range", accept: pods("10.1.0.0/24"), refuse: pods("10.1.0.0/25"), path: "spec.networking.pods"},
		{name: "own: pods within kube-controller-manager's limit", accept: pods("11.0.0.0/8"), refuse: all(mask(25), pods("11.0.0.0/8")),
			path: "spec.networking.pods"},

		{name: "own: IPv4 pods", refuse: pods("fd00::/64"), path: "spec.networking.pods", code: fault.UnsupportedIPv6},
		{name: "own: IPv4 services", refuse: services("fd00::/112"), path: "spec.networking.services", code: fault.UnsupportedIPv6},
		{name: "own: IPv4 nodes", refuse: nodes("fd00::/64"), path: "spec.networking.nodes", code: fault.UnsupportedIPv6},
		{name: "own: no IPv6", accept: families(gardencore.IPFamilyIPv4), refuse: families(gardencore.IPFamilyIPv6),
			path: "spec.networking.ipFamilies[0]", code: fault.UnsupportedIPv6},
		{name: "own: no dual stack", refuse: families(gardencore.IPFamilyIPv4, gardencore.IPFamilyIPv6),
			path: "spec.networking.ipFamilies[1]", code: fault.UnsupportedIPv6,
			unheeded: "spec.kubernetes.kubeControllerManager.nodeCIDRMaskSizeIPv6"},
		{name: "own: an address family is there once", refuse: families(gardencore.IPFamilyIPv4, gardencore.IPFamilyIPv4), path: "spec.networking.ipFamilies[1]"},
		{name: "own: an address family is one", refuse: families("IPv5"), path: "spec.networking.ipFamilies[0]"},

		{name: "own: there is a network type", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Networking.Type = nil }), path: "spec.networking.type"},
		{name: "own: the network is ours", accept: network("flannel"), refuse: network("calico"), path: "spec.networking.type", code: fault.UnsupportedField},
		{name: "own: no network of an Extension yet", refuse: all(network("calico"), func(set *manifest.Set) {
			set.Extensions = []*operatorv1alpha1.Extension{{
				ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Spec: operatorv1alpha1.ExtensionSpec{Resources: calico},
			}}
		}), path: "spec.networking.type", code: fault.UnsupportedField, says: "Extension ours serves it"},
		{name: "own: no network of a ControllerRegistration yet", refuse: all(network("calico"), func(set *manifest.Set) {
			set.ControllerRegistrations = []*gardencore.ControllerRegistration{{
				ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Spec: gardencore.ControllerRegistrationSpec{Resources: calico},
			}}
		}), path: "spec.networking.type", code: fault.UnsupportedField, says: "ControllerRegistration ours serves it"},
	}
}

func profileRules() []rule {
	return append([]rule{
		{name: "own: there is a provider", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Provider.Type = "" }), path: "spec.provider.type"},
		{name: "own: the provider is ours", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Provider.Type = "local" }),
			path: "spec.provider.type", code: fault.UnsupportedField},
		{name: "own: the provider is the CloudProfile's", refuse: profile(func(p *gardencore.CloudProfile) { p.Spec.Type = "local" }), path: "spec.provider.type"},
		{name: "own: no managed infrastructure (credentials)", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.CredentialsBindingName = ptr.To("x") }),
			path: "spec.credentialsBindingName", code: fault.UnsupportedField},
		//lint:ignore SA1019 whoever still uses it must be told
		{name: "own: no managed infrastructure (secret)", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.SecretBindingName = ptr.To("x") }),
			path: "spec.secretBindingName", code: fault.UnsupportedField},
		{name: "own: no restore", refuse: func(set *manifest.Set) {
			set.ShootState = &gardencore.ShootState{ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: "local"}}
		}, object: "ShootState garden/local", path: "", code: fault.UnsupportedField},
		{name: "own: the Shoot names a CloudProfile", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.CloudProfile = nil }), path: "spec.cloudProfile"},
		{name: "own: the CloudProfile is that of the Shoot", refuse: profile(func(p *gardencore.CloudProfile) { p.Name = "other" }), path: "spec.cloudProfile.name"},
		profileKind("own: a NamespacedCloudProfile is not read", "NamespacedCloudProfile"),
		profileKind("own: a CloudProfile's kind is one", "Nonsense"),
		{name: "own: there is a region", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Region = "" }), path: "spec.region"},
		{name: "own: the CloudProfile knows the region", accept: profile(func(p *gardencore.CloudProfile) { p.Spec.Regions = nil }),
			refuse: profile(func(p *gardencore.CloudProfile) { p.Spec.Regions[0].Name = "other" }), path: "spec.region"},
		{name: "own: the CloudProfile knows the zones", accept: all(regionZones("a", "b"), worker(zones("a"))),
			refuse: all(regionZones("b"), worker(zones("a"))), path: "spec.provider.workers[0].zones[0]"},
	}, machineRules()...)
}

func profileKind(name, kind string) rule {
	refer := func(kind string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.CloudProfile.Kind = kind })
	}
	return rule{name: name, accept: refer("CloudProfile"), refuse: refer(kind), path: "spec.cloudProfile.kind", code: fault.UnsupportedField}
}

func regionZones(names ...string) change {
	return profile(func(p *gardencore.CloudProfile) {
		for _, name := range names {
			p.Spec.Regions[0].Zones = append(p.Spec.Regions[0].Zones, gardencore.AvailabilityZone{Name: name})
		}
	})
}

func strategy(name string, refused gardencore.MachineUpdateStrategy) rule {
	choose := func(one gardencore.MachineUpdateStrategy) change {
		return worker(func(w *gardencore.Worker) { w.UpdateStrategy = &one })
	}
	return rule{name: name, accept: choose(gardencore.AutoInPlaceUpdate), refuse: choose(refused),
		path: "spec.provider.workers[0].updateStrategy", code: fault.UnsupportedField}
}

func machineRules() []rule {
	image := func(name, version string) change {
		return worker(func(w *gardencore.Worker) {
			w.Machine.Image = &gardencore.ShootMachineImage{Name: name, Version: ptr.To(version)}
		})
	}
	architecture := func(name string) change {
		return worker(func(w *gardencore.Worker) { w.Machine.Architecture = ptr.To(name) })
	}
	onARM64 := func(w *gardencore.Worker) { w.Machine.Type, w.Machine.Architecture = "any-arm64", ptr.To("arm64") }
	arm64 := worker(onARM64)
	machine := func(architecture string) change {
		return profile(func(p *gardencore.CloudProfile) { p.Spec.MachineTypes[0].Architecture = ptr.To(architecture) })
	}
	// capable is a CloudProfile that says by capabilities what its images and machine types are.
	capable := func(images ...string) change {
		return profile(func(p *gardencore.CloudProfile) {
			p.Spec.MachineCapabilities = []gardencore.CapabilityDefinition{{Name: "architecture", Values: []string{"amd64", "arm64"}}}
			p.Spec.MachineTypes[0].Architecture = nil
			p.Spec.MachineTypes[0].Capabilities = gardencore.Capabilities{"architecture": {"arm64"}}
			p.Spec.MachineImages[0].Versions[0].Architectures = nil
			for _, one := range images {
				p.Spec.MachineImages[0].Versions[0].CapabilityFlavors = append(p.Spec.MachineImages[0].Versions[0].CapabilityFlavors,
					gardencore.MachineImageFlavor{Capabilities: gardencore.Capabilities{"architecture": {one}}})
			}
		})
	}
	const path = "spec.provider.workers[0].machine."
	return []rule{
		{name: "own: there is a machine type", refuse: worker(func(w *gardencore.Worker) { w.Machine.Type = "" }), path: path + "type"},
		{name: "own: the CloudProfile knows the machine type", refuse: worker(func(w *gardencore.Worker) { w.Machine.Type = "huge" }), path: path + "type"},
		{name: "own: the machine type is usable", refuse: profile(func(p *gardencore.CloudProfile) { p.Spec.MachineTypes[0].Usable = ptr.To(false) }),
			path: path + "type"},
		{name: "own: the architecture is one of ours", accept: architecture("amd64"), refuse: all(architecture("riscv64"), machine("riscv64"),
			profile(func(p *gardencore.CloudProfile) {
				p.Spec.MachineImages[0].Versions[0].Architectures = []string{"riscv64"}
			})), path: path + "architecture"},
		{name: "own: the machine type has the architecture", accept: all(architecture("arm64"), machine("arm64")), refuse: architecture("arm64"),
			path: path + "architecture"},
		{name: "own: the built-in CloudProfile has machines of both architectures", accept: arm64, refuse: all(arm64, architecture("amd64")),
			path: path + "architecture"},
		{name: "own: all pools have the same architecture", accept: all(arm64, second(onARM64)), refuse: all(architecture("amd64"), second(onARM64)),
			path: "spec.provider.workers[1].machine.architecture"},
		strategy("own: nodes do not wait for somebody to choose them", gardencore.ManualInPlaceUpdate),
		strategy("own: an update strategy is one", "Nonsense"),
		{name: "own: the image has the architecture", refuse: all(architecture("amd64"),
			profile(func(p *gardencore.CloudProfile) {
				p.Spec.MachineImages[0].Versions[0].Architectures = []string{"arm64"}
			})), path: path + "image.name"},
		{name: "own: architectures as capabilities", accept: all(architecture("arm64"), capable("amd64", "arm64")),
			refuse: all(architecture("arm64"), capable("amd64")), path: path + "image.name"},
		{name: "own: all capabilities where an image names none", accept: all(architecture("arm64"), capable()), refuse: all(architecture("amd64"), capable()),
			path: path + "architecture"},
		{name: "own: the CloudProfile knows the image", accept: worker(func(w *gardencore.Worker) { w.Machine.Image = nil }),
			refuse: image("debian", "13.0.0"), path: path + "image.name"},
		{name: "own: the CloudProfile knows the image's version", accept: image("any", "0.0.0"), refuse: image("any", "1.0.0"), path: path + "image.version"},
	}
}

func versionRules() []rule {
	version := func(version string) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Kubernetes.Version = version })
	}
	kubelet := func(version string) change {
		return worker(func(w *gardencore.Worker) { w.Kubernetes = &gardencore.WorkerKubernetes{Version: ptr.To(version)} })
	}
	window := func(begin, end string) change {
		return shoot(func(s *gardencore.Shoot) {
			s.Spec.Maintenance = &gardencore.Maintenance{TimeWindow: &gardencore.MaintenanceTimeWindow{Begin: begin, End: end}}
		})
	}
	const path = "spec.kubernetes.version"
	const poolPath = "spec.provider.workers[0].kubernetes.version"
	return append([]rule{
		{name: "own: there is a version", refuse: version(""), path: path},
		{name: "own: the version is whole", accept: version(manifest.KubernetesVersion), refuse: version("1.36"), path: path},
		{name: "own: the version has no v", refuse: version("v1.36.3"), path: path},
		{name: "own: the version is supported", refuse: version("1.20.0"), path: path, code: fault.UnsupportedField},
		{name: "own: the CloudProfile knows the version", refuse: profile(func(p *gardencore.CloudProfile) { p.Spec.Kubernetes.Versions[0].Version = "1.35.0" }),
			path: path},
		{name: "own: a kubelet's version is whole", accept: kubelet(manifest.KubernetesVersion), refuse: kubelet("1.36"), path: poolPath},
		{name: "own: no kubelet is newer than the control plane", refuse: kubelet("1.37.0"), path: poolPath},
		{name: "own: no kubelet is four versions older", refuse: kubelet("1.32.9"), path: poolPath},
		{name: "own: a kubelet's version is supported", refuse: kubelet("1.33.0"), path: poolPath, code: fault.UnsupportedField},
		{name: "own: the maintenance window is one", accept: window("233000+0100", "003000+0100"), refuse: window("22:00", "23:00"), path: "spec.maintenance.timeWindow"},
		{name: "own: the maintenance window is long enough", refuse: window("220000+0000", "221000+0000"), path: "spec.maintenance.timeWindow"},
		{name: "own: the maintenance window is short enough", refuse: window("000000+0000", "070000+0000"), path: "spec.maintenance.timeWindow"},
	}, kubeletRules()...)
}

func kubeletRules() []rule {
	thresholds := func(high, low *int32) change {
		return shoot(func(s *gardencore.Shoot) {
			s.Spec.Kubernetes.Kubelet = &gardencore.KubeletConfig{ImageGCHighThresholdPercent: high, ImageGCLowThresholdPercent: low}
		})
	}
	const path = "spec.kubernetes.kubelet."
	return []rule{
		{name: "own: images are collected down to less", accept: thresholds(ptr.To[int32](60), nil), refuse: thresholds(ptr.To[int32](30), nil),
			path: path + "imageGCLowThresholdPercent"},
		{name: "own: the threshold is a percentage", accept: thresholds(ptr.To[int32](100), ptr.To[int32](0)), refuse: thresholds(ptr.To[int32](101), nil),
			path: path + "imageGCHighThresholdPercent"},
		{name: "own: a node has pods", refuse: shoot(func(s *gardencore.Shoot) { s.Spec.Kubernetes.Kubelet.MaxPods = ptr.To[int32](0) }), path: path + "maxPods"},
		{name: "own: a pool's kubelet, too", path: "spec.provider.workers[0].kubernetes.kubelet.imageGCLowThresholdPercent",
			accept: worker(func(w *gardencore.Worker) {
				w.Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{}}
			}),
			refuse: worker(func(w *gardencore.Worker) {
				w.Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{ImageGCLowThresholdPercent: ptr.To[int32](70)}}
			})},
	}
}

func referenceRules() []rule {
	config := func(name, key string) change {
		return func(set *manifest.Set) {
			set.ConfigMaps = append(set.ConfigMaps, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: name}, Data: map[string]string{key: "x"},
			})
		}
	}
	secret := func(name, key string) change {
		return func(set *manifest.Set) {
			set.Secrets = append(set.Secrets, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: name}, Data: map[string][]byte{key: []byte("x")},
			})
		}
	}
	server := func(config gardencore.KubeAPIServerConfig) change {
		return shoot(func(s *gardencore.Shoot) { s.Spec.Kubernetes.KubeAPIServer = &config })
	}
	audit := server(gardencore.KubeAPIServerConfig{AuditConfig: &gardencore.AuditConfig{
		AuditPolicy: &gardencore.AuditPolicy{ConfigMapRef: &corev1.ObjectReference{Name: "audit"}},
	}})
	authentication := server(gardencore.KubeAPIServerConfig{StructuredAuthentication: &gardencore.StructuredAuthentication{ConfigMapName: "authn"}})
	authorization := server(gardencore.KubeAPIServerConfig{StructuredAuthorization: &gardencore.StructuredAuthorization{
		ConfigMapName: "authz", Kubeconfigs: []gardencore.AuthorizerKubeconfigReference{{AuthorizerName: "a", SecretName: "hook"}},
	}})
	plugin := server(gardencore.KubeAPIServerConfig{AdmissionPlugins: []gardencore.AdmissionPlugin{
		{Name: "ImagePolicyWebhook", KubeconfigSecretName: ptr.To("hook")},
	}})
	const path = "spec.kubernetes.kubeAPIServer."
	return []rule{
		{name: "own: the audit policy is there", accept: all(audit, config("audit", "policy")), refuse: audit,
			path: path + "auditConfig.auditPolicy.configMapRef.name"},
		{name: "own: the audit policy has its key", refuse: all(audit, config("audit", "other")),
			object: "ConfigMap garden/audit", path: "data[policy]"},
		{name: "own: the authentication is there", accept: all(authentication, config("authn", "config.yaml")), refuse: authentication,
			path: path + "structuredAuthentication.configMapName"},
		{name: "own: the authentication has its key", refuse: all(authentication, config("authn", "other")),
			object: "ConfigMap garden/authn", path: "data[config.yaml]"},
		{name: "own: the authorization is there", accept: all(authorization, config("authz", "config.yaml"), secret("hook", "kubeconfig")),
			refuse: all(authorization, secret("hook", "kubeconfig")), path: path + "structuredAuthorization.configMapName"},
		{name: "own: the authorizer's kubeconfig is there", refuse: all(authorization, config("authz", "config.yaml")),
			path: path + "structuredAuthorization.kubeconfigs[0].secretName"},
		{name: "own: the authorizer's kubeconfig has its key", refuse: all(authorization, config("authz", "config.yaml"), secret("hook", "other")),
			object: "Secret garden/hook", path: "data[kubeconfig]"},
		{name: "own: the plugin's kubeconfig is there", accept: all(plugin, secret("hook", "kubeconfig")), refuse: plugin,
			path: path + "admissionPlugins[0].kubeconfigSecretName"},
		{name: "own: a resource is there", accept: all(named("a", "Secret", "one"), secret("one", "x")), refuse: named("a", "ConfigMap", "one"),
			path: "spec.resources[0].resourceRef.name"},
		{name: "own: a resource is a Secret or ConfigMap", accept: all(named("a", "ConfigMap", "one"), config("one", "x")),
			refuse: named("a", "Service", "one"), path: "spec.resources[0].resourceRef.kind", code: fault.UnsupportedField},
		{name: "own: a resource's name is there once", refuse: all(named("a", "Secret", "one"), named("a", "Secret", "one"), secret("one", "x")),
			path: "spec.resources[1].name"},
		{name: "own: a resource has a name", refuse: all(named("", "Secret", "one"), secret("one", "x")), path: "spec.resources[0].name"},
	}
}

// named adds to spec.resources.
func named(name, kind, object string) change {
	return shoot(func(s *gardencore.Shoot) {
		s.Spec.Resources = append(s.Spec.Resources, gardencore.NamedResourceReference{
			Name: name, ResourceRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "v1", Kind: kind, Name: object},
		})
	})
}
