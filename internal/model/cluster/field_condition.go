package cluster

import (
	"maps"
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// checkConditions refuses values of fields with an effect that could not have it in this Shoot.
func checkConditions(shoot *gardencore.Shoot) field.ErrorList {
	kubernetes := field.NewPath("spec", "kubernetes")
	errs := checkAPIServer(shoot, kubernetes.Child("kubeAPIServer"))
	if etcd := shoot.Spec.Kubernetes.ETCD; etcd != nil && etcd.Main != nil {
		errs = append(errs, checkMinAllowed(etcd.Main.Autoscaling, kubernetes.Child("etcd", "main", "autoscaling"))...)
	}
	for i, extension := range shoot.Spec.Extensions {
		served := extension.Type == ExtensionRegistryAccess || extension.Type == ExtensionRegistryMirror
		if !served && !ptr.Deref(extension.Disabled, false) {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "extensions").Index(i).Child("type"), noExtension))
		}
	}
	errs = append(errs, checkRewriting(shoot.Spec.SystemComponents)...)
	networking, proxy := shoot.Spec.Networking, shoot.Spec.Kubernetes.KubeProxy
	if proxy != nil && !ptr.Deref(proxy.Enabled, true) && networking != nil && ptr.Deref(networking.Type, "") == NetworkFlannel {
		errs = append(errs, field.Forbidden(kubernetes.Child("kubeProxy", "enabled"), "with the network flannel nothing else would serve Services"))
	}
	for i, worker := range shoot.Spec.Provider.Workers {
		if own := worker.Kubernetes; own != nil && own.Version != nil && *own.Version != shoot.Spec.Kubernetes.Version {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "provider", "workers").Index(i).Child("kubernetes", "version"),
				"all kubelets come from one bundle and have the cluster's version "+shoot.Spec.Kubernetes.Version))
		}
	}
	return errs
}

func checkAPIServer(shoot *gardencore.Shoot, at *field.Path) field.ErrorList {
	config := shoot.Spec.Kubernetes.KubeAPIServer
	if config == nil {
		return nil
	}
	errs := checkMinAllowed(config.Autoscaling, at.Child("autoscaling"))
	if audit := config.AuditConfig; audit != nil && audit.AuditPolicy != nil && audit.AuditPolicy.ConfigMapRef != nil {
		if namespace := audit.AuditPolicy.ConfigMapRef.Namespace; namespace != "" && namespace != shoot.Namespace {
			errs = append(errs, field.Forbidden(at.Child("auditConfig", "auditPolicy", "configMapRef", "namespace"), "the ConfigMap is looked up in the Shoot's namespace"))
		}
	}
	for i, plugin := range config.AdmissionPlugins {
		at := at.Child("admissionPlugins").Index(i)
		if why := neededPlugins()[plugin.Name]; why != "" && ptr.Deref(plugin.Disabled, false) {
			errs = append(errs, field.Forbidden(at.Child("disabled"), why))
		}
		if plugin.KubeconfigSecretName != nil && !slices.Contains(AdmissionPluginsWithKubeconfig(), plugin.Name) {
			errs = append(errs, field.Forbidden(at.Child("kubeconfigSecretName"),
				"only these plugins read a kubeconfig: "+strings.Join(AdmissionPluginsWithKubeconfig(), ", ")))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(config.RuntimeConfig)) {
		of := func(api string) bool { return key == api || strings.HasPrefix(key, api+"/") } // which may be one resource of it
		if slices.ContainsFunc(neededAPIs(), of) && !config.RuntimeConfig[key] {
			errs = append(errs, field.Forbidden(at.Child("runtimeConfig").Key(key), "the cluster itself needs it"))
		}
	}
	return errs
}

// neededPlugins says of the admission plugins that every cluster has what would be without them.
func neededPlugins() map[string]string {
	return map[string]string{
		"NodeRestriction":           "without NodeRestriction a node could change every other one",
		"ServiceAccount":            "without ServiceAccount the cluster's own pods could not ask the API",
		"ValidatingAdmissionPolicy": "without ValidatingAdmissionPolicy a node agent could change every other node",
	}
}

// neededAPIs are those that gardenadm, the kubelets and the controllers use.
func neededAPIs() []string {
	return []string{
		"v1", "api/all", "api/ga",
		"admissionregistration.k8s.io/v1", "apiregistration.k8s.io/v1", "apps/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1",
		"certificates.k8s.io/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1", "networking.k8s.io/v1", "node.k8s.io/v1", "policy/v1",
		"rbac.authorization.k8s.io/v1", "scheduling.k8s.io/v1", "storage.k8s.io/v1",
	}
}

// AdmissionPluginsWithKubeconfig are the admission plugins of kube-apiserver that ask another server.
func AdmissionPluginsWithKubeconfig() []string {
	return []string{"ImagePolicyWebhook", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"}
}

func checkMinAllowed(autoscaling *gardencore.ControlPlaneAutoscaling, at *field.Path) field.ErrorList {
	if autoscaling == nil {
		return nil
	}
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(autoscaling.MinAllowed)) {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			errs = append(errs, field.Forbidden(at.Child("minAllowed").Key(string(name)), "only cpu and memory are requested for the control plane"))
		}
	}
	return errs
}

// checkRewriting: a suffix stands in CoreDNS' configuration, and a short one would catch names of Services.
func checkRewriting(components *gardencore.SystemComponents) field.ErrorList {
	if components == nil || components.CoreDNS == nil || components.CoreDNS.Rewriting == nil {
		return nil
	}
	var errs field.ErrorList
	at := field.NewPath("spec", "systemComponents", "coreDNS", "rewriting", "commonSuffixes")
	for i, suffix := range components.CoreDNS.Rewriting.CommonSuffixes {
		domain := strings.TrimPrefix(suffix, ".")
		if len(validation.IsDNS1123Subdomain(domain)) > 0 || !strings.Contains(domain, ".") {
			errs = append(errs, field.Invalid(at.Index(i), suffix, "not a domain with a dot, such as example.com"))
		}
	}
	return errs
}
