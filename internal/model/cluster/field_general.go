package cluster

import (
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
)

// Reasons that several fields share.
const (
	noMachines    = "gardenadm makes no machines and no disks"
	noAutoscaler  = "nothing scales machines that somebody brought"
	noAddons      = "gardenadm installs no addons"
	noSeed        = "an autonomous cluster runs on no seed"
	noExtension   = "this version installs no extensions"
	noCredentials = "this version manages no machines, so it has no use for an infrastructure's credentials"
)

func generalFields() []FieldSection {
	return []FieldSection{
		{Title: "The cluster", Fields: below("spec",
			checked("cloudProfile.kind", "the CloudProfile is read").only("no NamespacedCloudProfile is read", constants.CloudProfileReferenceKindCloudProfile),
			checked("cloudProfile.name", "must be the CloudProfile's among the manifests"),
			refused("cloudProfileName", "Gardener dropped it with Kubernetes 1.34: use cloudProfile"),
			effect("region", "label topology.kubernetes.io/region of the Nodes; key region of ConfigMap kube-system/shoot-info"),
			kept("purpose", "only a garden treats clusters of different purposes differently"),
			effect("dns.domain", "the API server's name api.DOMAIN: in its certificate, as issuer of service account tokens and in ConfigMap shoot-info"),
			checked("dns.providers[].type", "somebody else makes the DNS records").only("gardenadm makes no DNS records", dnsUnmanaged),
			kept("dns.providers[].primary", "there is no other provider"),
			refused("dns.providers[].domains", "gardenadm makes no DNS records"),
			refused("dns.providers[].zones", "gardenadm makes no DNS records"),
			refused("dns.providers[].secretName", "gardenadm makes no DNS records"),
			refused("dns.providers[].credentialsRef", "gardenadm makes no DNS records"),
			kept("controlPlane.highAvailability.failureTolerance.type", "here the number of nodes of the control plane's pool decides"),
		)},
		{Title: "Networks", Fields: below("spec.networking",
			checked("type", "the pod network must be flannel, which is served without an extension"),
			effect("providerConfig", "flannel: `backend` vxlan (default) or host-gw"),
			effect("pods", "--cluster-cidr of kube-controller-manager, clusterCIDR of kube-proxy, network of flannel"),
			effect("services", "--service-cluster-ip-range; the first address is the API server's, the tenth the DNS server's"),
			effect("nodes", "network of the machines; must not overlap with the others"),
			checked("ipFamilies", "must be [IPv4]"),
		)},
		{Title: "System components", Fields: below("spec.systemComponents",
			kept("coreDNS.autoscaling.mode", "nothing scales CoreDNS: it runs twice, once in a cluster that can only have one node").
				only("no autoscaler runs beside CoreDNS", "horizontal"),
			effect("coreDNS.rewriting.commonSuffixes", "names that end in such a suffix and in what pods' search paths add are resolved without the latter (rewrite in the Corefile)"),
			refused("nodeLocalDNS.enabled", "this version has no node-local DNS").unless("false"),
			kept("nodeLocalDNS", "there is no node-local DNS that it could say something about"),
		)},
		{Title: "Provider", Fields: below("spec.provider",
			checked("type", "must be none, for machines that are there already, in the CloudProfile, too"),
			refused("controlPlaneConfig", noExtension),
			refused("infrastructureConfig", noExtension),
			kept("workersSettings.sshAccess.enabled", "gardenadm makes no user for SSH and leaves the machine's sshd as it is").
				only("gardenadm does not stop the machine's sshd", "true"),
		)},
		{Title: "Extensions", Fields: below("spec",
			effect("extensions[].type", "registry-access and registry-mirror say how containerd reaches registries; others are refused: "+noExtension),
			effect("extensions[].providerConfig", "a RegistryAccess (config.gardenadm.dev) or MirrorConfig (mirror.extensions.gardener.cloud); the control plane nodes are asked for images first, and without a proxy or strict: false no registry that has no entry"),
			effect("extensions[].disabled", "true: nothing comes of it, whatever the type"),
			effect("resources[].name", "a name for an object, for the extensions' providerConfig"),
			effect("resources[].resourceRef", "a Secret or ConfigMap among the manifests"),
		)},
		{Title: "Maintenance", Fields: below("spec.maintenance",
			effect("timeWindow.begin", "key maintenanceBegin of ConfigMap shoot-info"),
			effect("timeWindow.end", "key maintenanceEnd of ConfigMap shoot-info"),
			kept("autoUpdate.kubernetesVersion", "versions come with a bundle, so nothing updates them by itself"),
			kept("autoUpdate.machineImageVersion", "gardenadm does not update the machine's system"),
			kept("confineSpecUpdateRollout", "changes are rolled out when somebody asks for it"),
			refused("autoRotation", "nothing rotates credentials by itself"),
		)},
		{Title: "What only a garden has", Fields: below("spec",
			kept("schedulerName", "no scheduler looks for a seed").only("no scheduler looks for a seed", constants.DefaultSchedulerName),
			kept("tolerations", "of a seed's taints"),
			refused("addons.kubernetesDashboard.enabled", noAddons).unless("false"),
			kept("addons.kubernetesDashboard", noAddons),
			refused("addons.nginxIngress.enabled", noAddons).unless("false"),
			kept("addons.nginxIngress", noAddons),
			refused("accessRestrictions", "gardenadm cannot see to it that they are kept"),
			refused("credentialsBindingName", noCredentials),
			refused("secretBindingName", noCredentials),
			refused("exposureClassName", noSeed),
			refused("hibernation", "a cluster that carries itself could not wake itself up"),
			refused("monitoring", "nobody watches the cluster and could send mail"),
			refused("seedName", noSeed),
			refused("seedSelector", noSeed),
		)},
	}
}

func annotationFields() []FieldSection {
	return []FieldSection{{Title: "Annotations", Fields: []Field{
		effect(annotationPath(AnnotationShared), "`true`: control plane nodes carry workload too, without the taint node-role.kubernetes.io/control-plane").
			only("it is true or false", "true", "false"),
		refused(annotationPath(constants.GardenerOperation), "init is no operation on a cluster that is there").unless(constants.GardenerOperationReconcile),
		refused(annotationPath(constants.GardenerMaintenanceOperation), "there is no maintenance that would do it"),
		refused(annotationPath(constants.AnnotationAuthenticationIssuer), "no garden serves the cluster's issuer"),
	}}}
}

// annotationPath is the path of a Shoot's annotation in the table.
func annotationPath(key string) string { return "metadata.annotations[" + key + "]" }
