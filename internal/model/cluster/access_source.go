package cluster

import (
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	sigsjson "sigs.k8s.io/json"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
)

// extension reads an extension of the Shoot that is about registries.
func (r *accessReader) extension(path *field.Path, extension gardencore.Extension) {
	if ptr.Deref(extension.Disabled, false) {
		return
	}
	path = path.Child("providerConfig")
	switch extension.Type {
	case ExtensionRegistryAccess:
		var config configv1alpha1.RegistryAccess
		r.found = true
		if r.decode(path, extension.ProviderConfig, &config) && r.isKind(path, config.TypeMeta, configv1alpha1.APIVersion, configv1alpha1.KindRegistryAccess) {
			r.registryAccess(path, config)
		}
	case ExtensionRegistryMirror:
		var config mirrorConfig
		if r.decode(path, extension.ProviderConfig, &config) && r.isKind(path, config.TypeMeta, "mirror.extensions.gardener.cloud/v1alpha1", "MirrorConfig") {
			r.mirrorConfig(path.Child("mirrors"), config)
		}
	}
}

func (r *accessReader) decode(path *field.Path, raw *runtime.RawExtension, into any) bool {
	if raw == nil || len(raw.Raw) == 0 {
		r.errs = append(r.errs, field.Required(path, "the extension does nothing without it"))
		return false
	}
	unknown, err := sigsjson.UnmarshalStrict(raw.Raw, into)
	if err != nil {
		r.fail(path, "does not have the form of its kind: %s", err)
	}
	for _, one := range unknown {
		r.fail(path, "%s", one)
	}
	return err == nil && len(unknown) == 0
}

func (r *accessReader) isKind(path *field.Path, have metav1.TypeMeta, apiVersion, kind string) bool {
	if have.APIVersion == apiVersion && have.Kind == kind {
		return true
	}
	r.fail(path, "must have apiVersion %s and kind %s", apiVersion, kind)
	return false
}

// mirrorConfig is what Gardener's extension registry-mirror is configured with, as its documentation has it (docs/usage/registry-mirror
// in gardener/gardener-extension-registry-cache).
type mirrorConfig struct {
	metav1.TypeMeta `json:",inline"`

	Mirrors []struct {
		Upstream string `json:"upstream"`
		Hosts    []struct {
			Host                        string   `json:"host"`
			Capabilities                []string `json:"capabilities"`
			CABundleSecretReferenceName string   `json:"caBundleSecretReferenceName"`
			OverridePath                bool     `json:"overridePath"`
		} `json:"hosts"`
	} `json:"mirrors"`
}

func (r *accessReader) mirrorConfig(path *field.Path, config mirrorConfig) {
	if len(config.Mirrors) == 0 {
		r.errs = append(r.errs, field.Required(path, "at least one mirror"))
	}
	for i, one := range config.Mirrors {
		path := path.Index(i)
		registry := Registry{Upstream: r.upstream(path.Child("upstream"), one.Upstream)}
		if len(one.Hosts) == 0 {
			r.errs = append(r.errs, field.Required(path.Child("hosts"), "at least one host"))
		}
		for j, host := range one.Hosts {
			path := path.Child("hosts").Index(j)
			mirror := RegistryHost{URL: r.url(path.Child("host"), host.Host), OverridePath: host.OverridePath}
			// Who only says where a mirror is trusts it with contents, whose digest the upstream tells.
			mirror.Capabilities = []string{"pull"}
			if len(host.Capabilities) > 0 {
				mirror.Capabilities = r.capabilities(path.Child("capabilities"), host.Capabilities)
			}
			if name := host.CABundleSecretReferenceName; name != "" {
				path := path.Child("caBundleSecretReferenceName")
				mirror.CABundle = r.bundleOf(path, r.resource(path, name))
			}
			r.checkHost(path.Child("host"), mirror)
			registry.Mirrors = append(registry.Mirrors, mirror)
		}
		r.add(path, registry)
	}
}

// add takes a registry in; path is that of its entry, which has the field upstream.
func (r *accessReader) add(path *field.Path, registry Registry) {
	for i, mirror := range registry.Mirrors {
		if mirror.URL != "" && slices.ContainsFunc(registry.Mirrors[:i], func(other RegistryHost) bool { return other.URL == mirror.URL }) {
			r.fail(path, "the mirror %s is listed twice", mirror.URL)
		}
	}
	registries := &r.cluster.Access.Registries
	if slices.ContainsFunc(*registries, func(other Registry) bool { return other.Upstream == registry.Upstream }) {
		r.errs = append(r.errs, field.Duplicate(path.Child("upstream"), registry.Upstream))
		return
	}
	if registry.Upstream != "" {
		*registries = append(*registries, registry)
	}
}
