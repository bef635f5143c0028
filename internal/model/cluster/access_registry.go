package cluster

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
)

// Docker Hub, which answers under another name than its images have.
const (
	dockerHub       = "docker.io"
	dockerHubServer = "registry-1.docker.io"
)

// registryAccess reads our own kind; path is nil for a document.
func (r *accessReader) registryAccess(path *field.Path, config configv1alpha1.RegistryAccess) {
	r.proxy(path, config)
	// Who gives a proxy wants registries to be reached.
	r.cluster.Access.Strict = ptr.Deref(config.Strict, config.HTTPProxy == "" && config.HTTPSProxy == "")
	r.cluster.Access.CABundle = r.bundle(path, config.CABundle, config.CABundleSecretRef)
	for i, one := range config.Registries {
		r.registry(path.Child("registries").Index(i), one)
	}
}

func (r *accessReader) registry(path *field.Path, config configv1alpha1.Registry) {
	registry := Registry{Upstream: r.upstream(path.Child("upstream"), config.Upstream), MirrorsOnly: config.MirrorsOnly}
	for i, mirror := range config.Mirrors {
		registry.Mirrors = append(registry.Mirrors, r.mirror(path.Child("mirrors").Index(i), mirror))
	}
	aboutServer := config.Server != "" || config.CABundle != "" || config.CABundleSecretRef != nil || config.CredentialsSecretRef != nil
	switch {
	case config.MirrorsOnly && aboutServer:
		r.fail(path.Child("mirrorsOnly"), "excludes server, caBundle and credentials, which are for the registry itself; those of a mirror belong to the mirror")
	case config.MirrorsOnly && !slices.ContainsFunc(registry.Mirrors, resolves):
		r.fail(path.Child("mirrorsOnly"), `needs a mirror with the capability "resolve": nobody could say which image a tag means`)
	case aboutServer && config.Upstream == UpstreamDefault:
		r.fail(path.Child("upstream"), "%s is no registry that has a server, certificates or credentials of its own", UpstreamDefault)
	case aboutServer:
		registry.Server = r.server(path, config)
	case len(config.Mirrors) == 0 && (!r.cluster.Access.Strict || config.Upstream == UpstreamDefault): // else it says that the registry is asked
		r.fail(path, "says nothing about the registry: give mirrors, a server, certificates or credentials")
	}
	r.add(path, registry)
}

func resolves(mirror RegistryHost) bool {
	return mirror.Capabilities == nil || slices.Contains(mirror.Capabilities, "resolve")
}

func (r *accessReader) mirror(path *field.Path, config configv1alpha1.Mirror) RegistryHost {
	mirror := RegistryHost{
		URL:          r.url(path.Child("url"), config.URL),
		Capabilities: r.capabilities(path.Child("capabilities"), config.Capabilities),
		OverridePath: config.OverridePath,
		CABundle:     r.bundle(path, config.CABundle, config.CABundleSecretRef),
	}
	mirror.Username, mirror.Password = r.credentials(path.Child("credentialsSecretRef"), config.CredentialsSecretRef, mirror.URL)
	r.checkHost(path.Child("url"), mirror)
	return mirror
}

func (r *accessReader) server(path *field.Path, config configv1alpha1.Registry) *RegistryHost {
	server := &RegistryHost{CABundle: r.bundle(path, config.CABundle, config.CABundleSecretRef)}
	switch {
	case config.Server != "":
		server.URL = r.url(path.Child("server"), config.Server)
		if parsed, err := url.Parse(server.URL); err == nil && parsed.Path != "" {
			r.fail(path.Child("server"), "must have no path: a mirror may have one")
		}
	case config.Upstream == dockerHub:
		server.URL = "https://" + dockerHubServer
	default:
		server.URL = "https://" + config.Upstream
	}
	server.Username, server.Password = r.credentials(path.Child("credentialsSecretRef"), config.CredentialsSecretRef, server.URL)
	r.checkHost(path.Child("server"), *server)
	return server
}

// checkHost: containerd would try https:// first where an http:// URL has authorities.
func (r *accessReader) checkHost(path *field.Path, host RegistryHost) {
	if host.CABundle != "" && strings.HasPrefix(host.URL, "http://") {
		r.fail(path, "is not encrypted, so that nothing would be checked against the certificates: use https://")
	}
}

// upstream returns the upstream when it is one, else "".
func (r *accessReader) upstream(path *field.Path, upstream string) string {
	parsed, err := url.Parse("https://" + upstream)
	switch {
	case upstream == "":
		r.errs = append(r.errs, field.Required(path, "the registry that the images' names begin with"))
		return ""
	case upstream == UpstreamDefault:
		return upstream
	case err != nil || parsed.Host != upstream || !isHost(parsed):
		r.fail(path, "must be host or host:port in small letters, without https:// and path, for example docker.io")
		return ""
	case upstream == dockerHubServer, upstream == "index."+dockerHub:
		r.fail(path, "the images of Docker Hub have names that begin with %s", dockerHub)
		return ""
	}
	return upstream
}

// url returns the URL in its plain form when it is one of a registry, else "".
func (r *accessReader) url(at *field.Path, text string) string {
	parsed, err := url.Parse(text)
	switch {
	case text == "":
		r.errs = append(r.errs, field.Required(at, "for example https://mirror.example.com"))
	case err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Opaque != "" || !isHost(parsed):
		r.fail(at, "must be a URL that begins with https:// (or http:// without encryption), for example https://mirror.example.com:5000")
	case parsed.User != nil:
		r.fail(at, "must not have a user or password: put them into a Secret")
	case parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(text, "#"):
		r.fail(at, "must not have a query or fragment")
	case !regexp.MustCompile(`^[A-Za-z0-9/._~-]*$`).MatchString(parsed.Path):
		r.fail(at, "has a path with other characters than letters, digits and /._~-")
	default:
		if parsed.Path = path.Clean("/" + parsed.Path); parsed.Path == "/" {
			parsed.Path = ""
		}
		return parsed.Scheme + "://" + parsed.Host + parsed.Path
	}
	return ""
}

// isHost says that a URL has a DNS name in small letters or an address, and a port that can be one.
func isHost(parsed *url.URL) bool {
	name := parsed.Hostname()
	if _, err := netip.ParseAddr(name); err != nil && len(validation.IsDNS1123Subdomain(name)) > 0 {
		return false
	}
	if !strings.Contains(strings.TrimPrefix(parsed.Host, "["+name+"]"), ":") {
		return true
	}
	port, err := strconv.ParseUint(parsed.Port(), 10, 16)
	return err == nil && port > 0
}

// capabilities returns them sorted and each once, nil for all.
func (r *accessReader) capabilities(path *field.Path, list []string) []string {
	for i, one := range list {
		if one != "pull" && one != "resolve" {
			r.fail(path.Index(i), "must be pull or resolve")
		}
	}
	out := slices.Sorted(slices.Values(list))
	return slices.Compact(out)
}
