package cluster

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// Types of a Shoot's extensions that gardenadm serves itself, without a controller.
const (
	// ExtensionRegistryAccess has a configv1alpha1.RegistryAccess as its providerConfig.
	ExtensionRegistryAccess = "registry-access"
	// ExtensionRegistryMirror is Gardener's own, with a MirrorConfig (mirror.extensions.gardener.cloud/v1alpha1) as its providerConfig.
	ExtensionRegistryMirror = "registry-mirror"
)

// UpstreamDefault is the upstream of the Registry that stands for all that have no entry of their own.
const UpstreamDefault = "_default"

// Access is how the container runtime of every node reaches registries: through a proxy, by mirrors, with authorities and
// credentials of their own. It holds passwords: they go into files that only root reads, and are never printed.
type Access struct {
	Proxy Proxy
	// CABundle are PEM certificates of authorities that are trusted for all registries and the proxy; empty for none.
	CABundle string
	// Strict: a registry that is not among Registries is never asked, but for UpstreamDefault. Only the cluster's own mirrors are.
	Strict bool
	// Registries are sorted by upstream, and each upstream is there once.
	Registries []Registry
}

// Proxy is an HTTP proxy. The zero value is none.
type Proxy struct {
	// HTTP and HTTPS are the URLs of the proxies for http:// and https://, with user and password when they have one; empty for none.
	HTTP, HTTPS string
	// NoProxy are the addresses, networks, hosts and domains that are reached without it, as in the variable NO_PROXY.
	NoProxy []string
}

// Registry is where images of one registry come from.
type Registry struct {
	// Upstream is what the images' names begin with: host[:port], or UpstreamDefault.
	Upstream string
	// Mirrors are asked before the registry itself, in this order.
	Mirrors []RegistryHost
	// Server is the registry itself where something is known about it; nil leaves it to the container runtime.
	Server *RegistryHost
	// MirrorsOnly: the registry itself is never asked. There are mirrors then.
	MirrorsOnly bool
}

// RegistryHost is a server that has images.
type RegistryHost struct {
	URL string
	// Capabilities are among pull and resolve; nil for all.
	Capabilities []string
	// OverridePath: the URL's path is the root of the registry's API.
	OverridePath bool
	// CABundle are PEM certificates of authorities that are trusted for this server, besides all others.
	CABundle string
	// Username and Password are empty for anonymous access.
	Username, Password string
}

// CABundle are the PEM certificates of authorities that the container runtime of a pool's nodes trusts besides those that the
// machine trusts: those of the CloudProfile, of the pool and of the access to registries. Empty for none.
func (c *Cluster) CABundle(pool Pool) string {
	var out strings.Builder
	for _, bundle := range []string{ptr.Deref(c.CloudProfile.Spec.CABundle, ""), ptr.Deref(pool.Worker.CABundle, ""), c.Access.CABundle} {
		for _, certificate := range certificates(bundle) {
			out.WriteString(certificate)
		}
	}
	return out.String()
}

// WithoutPasswords returns the cluster with xxxxx in place of each password of its Access, to show what is rendered of it.
func (c *Cluster) WithoutPasswords() *Cluster {
	out := *c
	out.Access.Proxy.HTTP, out.Access.Proxy.HTTPS = withoutPassword(c.Access.Proxy.HTTP), withoutPassword(c.Access.Proxy.HTTPS)
	out.Access.Registries = nil
	for _, registry := range c.Access.Registries {
		registry.Mirrors = slices.Clone(registry.Mirrors)
		for i := range registry.Mirrors {
			registry.Mirrors[i].hidePassword()
		}
		if registry.Server != nil {
			server := *registry.Server
			server.hidePassword()
			registry.Server = &server
		}
		out.Access.Registries = append(out.Access.Registries, registry)
	}
	return &out
}

func (h *RegistryHost) hidePassword() {
	if h.Password != "" {
		h.Password = "xxxxx"
	}
}

func withoutPassword(text string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return parsed.Redacted()
}

// readAccess fills in Access from the manifests, and returns what is wrong with them.
func (c *Cluster) readAccess() manifest.Problems {
	c.Access.Strict = true
	shoot := accessReader{cluster: c}
	for i, extension := range c.Shoot.Spec.Extensions {
		shoot.extension(field.NewPath("spec", "extensions").Index(i), extension)
	}
	for i, worker := range c.Shoot.Spec.Provider.Workers {
		shoot.checkBundle(field.NewPath("spec", "provider", "workers").Index(i).Child("caBundle"), ptr.Deref(worker.CABundle, ""))
	}
	profile := accessReader{cluster: c}
	profile.checkBundle(field.NewPath("spec", "caBundle"), ptr.Deref(c.CloudProfile.Spec.CABundle, ""))

	out := c.problems("CloudProfile", c.Manifests.CloudProfile, profile.errs)
	out = append(out, c.problems("Shoot", c.Manifests.Shoot, shoot.errs)...)
	if own := c.Manifests.RegistryAccess; own != nil {
		document := accessReader{cluster: c, document: true}
		if shoot.found {
			document.fail(nil, "the Shoot has an extension of type %s, too: one place must say it", ExtensionRegistryAccess)
		} else {
			document.registryAccess(nil, *own)
		}
		out = append(out, c.problems(configv1alpha1.KindRegistryAccess, own, document.errs)...)
	}
	slices.SortFunc(c.Access.Registries, func(a, b Registry) int { return strings.Compare(a.Upstream, b.Upstream) })
	return out
}

// accessWarnings tell what is allowed and unwise.
func (c *Cluster) accessWarnings() []string {
	var out []string
	for _, registry := range c.Access.Registries {
		for _, host := range registry.hosts() {
			if host.Password != "" && strings.HasPrefix(host.URL, "http://") {
				out = append(out, fmt.Sprintf("registry %s: the password goes to %s without encryption", registry.Upstream, host.URL))
			}
		}
	}
	return out
}

func (r Registry) hosts() []RegistryHost {
	if r.Server == nil {
		return r.Mirrors
	}
	return append(slices.Clone(r.Mirrors), *r.Server)
}

// accessReader reads one manifest into the cluster's Access and collects what is wrong with it. No error has a value: it may be secret.
type accessReader struct {
	cluster *Cluster
	// document: it is a RegistryAccess among the manifests, and not the Shoot.
	document bool
	// found: the Shoot has a RegistryAccess.
	found bool
	errs  field.ErrorList
}

func (r *accessReader) fail(path *field.Path, format string, args ...any) {
	r.errs = append(r.errs, invalid(path, field.OmitValueType{}, format, args...))
}
