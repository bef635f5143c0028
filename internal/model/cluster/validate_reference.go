package cluster

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

// reference is a field of the Shoot that names an object of its namespace.
type reference struct {
	path *field.Path
	kind string
	name string
	// key is what the object must hold; empty for no key in particular.
	key string
}

// references are all that the Shoot refers to, but for the backup's Secret (rule 8).
func (c *Cluster) references() []reference {
	out := c.apiServerReferences()
	for i, resource := range c.Shoot.Spec.Resources {
		out = append(out, reference{spec("resources").Index(i).Child("resourceRef", "name"), resource.ResourceRef.Kind, resource.ResourceRef.Name, ""})
	}
	return out
}

func (c *Cluster) apiServerReferences() []reference {
	var out []reference
	server, path := c.Shoot.Spec.Kubernetes.KubeAPIServer, spec("kubernetes", "kubeAPIServer")
	if server == nil {
		return nil
	}
	if audit := server.AuditConfig; audit != nil && audit.AuditPolicy != nil && audit.AuditPolicy.ConfigMapRef != nil {
		path := path.Child("auditConfig", "auditPolicy", "configMapRef", "name")
		out = append(out, reference{path, kindConfigMap, audit.AuditPolicy.ConfigMapRef.Name, KeyAuditPolicy})
	}
	if authentication := server.StructuredAuthentication; authentication != nil {
		path := path.Child("structuredAuthentication", "configMapName")
		out = append(out, reference{path, kindConfigMap, authentication.ConfigMapName, KeyStructuredConfig})
	}
	if authorization := server.StructuredAuthorization; authorization != nil {
		path := path.Child("structuredAuthorization")
		out = append(out, reference{path.Child("configMapName"), kindConfigMap, authorization.ConfigMapName, KeyStructuredConfig})
		for i, one := range authorization.Kubeconfigs {
			out = append(out, reference{path.Child("kubeconfigs").Index(i).Child("secretName"), kindSecret, one.SecretName, KeyKubeconfig})
		}
	}
	for i, plugin := range server.AdmissionPlugins {
		if plugin.KubeconfigSecretName != nil {
			path := path.Child("admissionPlugins").Index(i).Child("kubeconfigSecretName")
			out = append(out, reference{path, kindSecret, ptr.Deref(plugin.KubeconfigSecretName, ""), KeyKubeconfig})
		}
	}
	return out
}

// checkReferences: whatever the Shoot refers to must be among the manifests.
func (c *Cluster) checkReferences() field.ErrorList {
	var errs field.ErrorList
	for _, reference := range c.references() {
		errs = append(errs, c.checkExists(reference.path, reference.kind, reference.name)...)
	}
	for i, resource := range c.Shoot.Spec.Resources {
		path := spec("resources").Index(i)
		if resource.Name == "" {
			errs = append(errs, field.Required(path.Child("name"), ""))
		}
		for _, other := range c.Shoot.Spec.Resources[:i] {
			if other.Name == resource.Name {
				errs = append(errs, field.Duplicate(path.Child("name"), resource.Name))
			}
		}
		if ref := resource.ResourceRef; ref.APIVersion != "v1" || ref.Kind != kindSecret && ref.Kind != kindConfigMap {
			errs = append(errs, unsupported(path.Child("resourceRef", "kind"), ref.Kind, "only a Secret or ConfigMap (apiVersion v1)"))
		}
	}
	return errs
}

// checkExists leaves kinds that it does not know to others.
func (c *Cluster) checkExists(path *field.Path, kind, name string) field.ErrorList {
	switch {
	case kind != kindSecret && kind != kindConfigMap:
		return nil
	case name == "":
		return field.ErrorList{field.Required(path, "must name a "+kind)}
	case c.object(kind, name) == nil:
		return field.ErrorList{invalid(path, name, "there is no %s %s/%s among the manifests", kind, c.Shoot.Namespace, name)}
	}
	return nil
}

// checkConfigMap: it holds the key that the Shoot expects in it.
func (c *Cluster) checkConfigMap(config *corev1.ConfigMap) field.ErrorList {
	return c.checkKeys(config.Namespace, kindConfigMap, config.Name, func(key string) bool { return config.Data[key] != "" })
}

// checkSecret: as checkConfigMap.
func (c *Cluster) checkSecret(secret *corev1.Secret) field.ErrorList {
	return c.checkKeys(secret.Namespace, kindSecret, secret.Name, func(key string) bool {
		return len(secret.Data[key]) > 0
	})
}

func (c *Cluster) checkKeys(namespace, kind, name string, has func(key string) bool) field.ErrorList {
	var errs field.ErrorList
	for _, reference := range c.references() {
		if namespace == c.Shoot.Namespace && reference.kind == kind && reference.name == name && reference.key != "" && !has(reference.key) {
			errs = append(errs, field.Required(field.NewPath("data").Key(reference.key), "Shoot "+reference.path.String()+" needs it"))
		}
	}
	return errs
}
