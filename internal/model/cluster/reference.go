package cluster

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Keys of the ConfigMaps and Secrets that a Shoot refers to, as in Gardener.
const (
	// KeyAuditPolicy holds the audit policy in the ConfigMap of kubeAPIServer.auditConfig.auditPolicy.
	KeyAuditPolicy = "policy"
	// KeyStructuredConfig holds the configuration in the ConfigMaps of structuredAuthentication and structuredAuthorization.
	KeyStructuredConfig = "config.yaml"
	// KeyKubeconfig holds the kubeconfig in the Secrets of authorizers and admission plugins.
	KeyKubeconfig = "kubeconfig"
)

// Kinds of spec.resources.
const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
)

// ConfigMap returns the ConfigMap of that name in the Shoot's namespace, nil when the manifests have none.
func (c *Cluster) ConfigMap(name string) *corev1.ConfigMap {
	return c.Manifests.ConfigMap(c.Shoot.Namespace, name)
}

// Secret returns the Secret of that name in the Shoot's namespace, nil when the manifests have none.
func (c *Cluster) Secret(name string) *corev1.Secret {
	return c.Manifests.Secret(c.Shoot.Namespace, name)
}

// Resource returns the *corev1.Secret or *corev1.ConfigMap that the Shoot's spec.resources calls by that name, nil when there is none.
func (c *Cluster) Resource(name string) runtime.Object {
	for _, resource := range c.Shoot.Spec.Resources {
		if resource.Name == name {
			return c.object(resource.ResourceRef.Kind, resource.ResourceRef.Name)
		}
	}
	return nil
}

func (c *Cluster) object(kind, name string) runtime.Object {
	switch kind {
	case kindSecret:
		if secret := c.Secret(name); secret != nil {
			return secret
		}
	case kindConfigMap:
		if config := c.ConfigMap(name); config != nil {
			return config
		}
	}
	return nil
}
