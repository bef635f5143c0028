package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RegistryAccess says how the container runtime of every node reaches registries: through a proxy, by mirrors, with certificate
// authorities and credentials of its own. Nothing of it reaches a pod, static pods least of all.
//
// It is given once: either as a document among the manifests, or in the Shoot as providerConfig of the extension of type
// registry-access. Passwords are never in it; it names Secrets among the manifests.
//
// +kubebuilder:object:root=true
type RegistryAccess struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata. A document needs a name, which may be any.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// HTTPProxy is the URL of the proxy for registries that are reached by http://, for example http://proxy.example.com:3128.
	// It holds no user and password; see ProxySecretRef.
	// +optional
	HTTPProxy string `json:"httpProxy,omitempty"`
	// HTTPSProxy is the URL of the proxy for registries that are reached by https://, which are nearly all.
	// +optional
	HTTPSProxy string `json:"httpsProxy,omitempty"`
	// NoProxy are more targets that are reached without a proxy: addresses, networks (10.0.0.0/8), host names, and domains with
	// a leading dot, which mean all names below them. A mirror that the proxy does not know by name belongs here.
	// The machine itself, the networks of nodes, pods and services, and the cluster's domains are added to them always.
	// +optional
	NoProxy []string `json:"noProxy,omitempty"`
	// ProxySecretRef names the Secret with user and password for both proxies (keys username and password).
	// +optional
	ProxySecretRef *SecretRef `json:"proxySecretRef,omitempty"`

	// CABundle are PEM certificates of authorities that the container runtime trusts for every registry and for the proxy,
	// besides those that the machine trusts anyway.
	// +optional
	CABundle string `json:"caBundle,omitempty"`
	// CABundleSecretRef names the Secret with these certificates (key bundle.crt), in place of CABundle.
	// +optional
	CABundleSecretRef *SecretRef `json:"caBundleSecretRef,omitempty"`

	// Strict says that registries without an entry of their own are never asked: their images come from the cluster's control plane
	// nodes, which have what the bundle had, or are not found. The control plane nodes are asked first in any case, for every registry.
	// Default: true, but false with a proxy, which is for reaching registries.
	// +optional
	Strict *bool `json:"strict,omitempty"`
	// Registries are what differs for single registries.
	// +optional
	Registries []Registry `json:"registries,omitempty"`
}

// Registry says where images of one registry come from.
type Registry struct {
	// Upstream is what the names of the images begin with: a host with an optional port, such as docker.io or
	// registry.example.com:5000. "_default" stands for all registries that have no entry of their own.
	Upstream string `json:"upstream"`
	// Mirrors are asked in this order, after the cluster's control plane nodes and before the registry itself. When one does not
	// answer, or does not have the image, the next is asked.
	// +optional
	Mirrors []Mirror `json:"mirrors,omitempty"`
	// MirrorsOnly says that the registry itself is never asked, so that an image that no mirror has is not found. Default: false, also
	// with Strict: who has an entry for a registry wants it to be asked.
	// +optional
	MirrorsOnly bool `json:"mirrorsOnly,omitempty"`
	// Server is the URL where the registry itself answers. Default: https:// and the upstream.
	// +optional
	Server string `json:"server,omitempty"`
	// CABundle are PEM certificates of authorities that are trusted for the registry itself, besides all others.
	// +optional
	CABundle string `json:"caBundle,omitempty"`
	// CABundleSecretRef names the Secret with these certificates (key bundle.crt), in place of CABundle.
	// +optional
	CABundleSecretRef *SecretRef `json:"caBundleSecretRef,omitempty"`
	// CredentialsSecretRef names the Secret with the credentials for the registry itself: either of type
	// kubernetes.io/dockerconfigjson, or with the keys username and password.
	// +optional
	CredentialsSecretRef *SecretRef `json:"credentialsSecretRef,omitempty"`
}

// Mirror is another place that has images of a registry.
type Mirror struct {
	// URL of the mirror with an optional path; http:// only where a mirror has no certificate.
	URL string `json:"url"`
	// Capabilities are what the mirror is trusted with: "pull" to fetch by digest, "resolve" to say which digest a tag has.
	// Default: both.
	// +optional
	Capabilities []string `json:"capabilities,omitempty"`
	// OverridePath says that the path of the URL is the root of the registry's API as it is, so that no /v2 is appended.
	// Default: false.
	// +optional
	OverridePath bool `json:"overridePath,omitempty"`
	// CABundle are PEM certificates of authorities that are trusted for this mirror, besides all others.
	// +optional
	CABundle string `json:"caBundle,omitempty"`
	// CABundleSecretRef names the Secret with these certificates (key bundle.crt), in place of CABundle.
	// +optional
	CABundleSecretRef *SecretRef `json:"caBundleSecretRef,omitempty"`
	// CredentialsSecretRef names the Secret with the credentials for this mirror, as for the registry itself.
	// +optional
	CredentialsSecretRef *SecretRef `json:"credentialsSecretRef,omitempty"`
}

// SecretRef names a Secret among the manifests, in the Shoot's namespace. Exactly one of its fields is set.
type SecretRef struct {
	// ResourceName is the name of an entry of the Shoot's spec.resources that refers to the Secret, as for Gardener's extensions.
	// +optional
	ResourceName string `json:"resourceName,omitempty"`
	// Name is the name of the Secret itself. Only in a document among the manifests: a garden knows the Secrets of a Shoot
	// by spec.resources alone.
	// +optional
	Name string `json:"name,omitempty"`
}
