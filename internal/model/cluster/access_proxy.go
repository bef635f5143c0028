package cluster

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
)

// proxy reads the proxy of a RegistryAccess.
func (r *accessReader) proxy(path *field.Path, config configv1alpha1.RegistryAccess) {
	if config.HTTPProxy == "" && config.HTTPSProxy == "" {
		if len(config.NoProxy) > 0 {
			r.fail(path.Child("noProxy"), "means nothing without httpProxy or httpsProxy")
		}
		if config.ProxySecretRef != nil {
			r.fail(path.Child("proxySecretRef"), "means nothing without httpProxy or httpsProxy")
		}
		return
	}
	var user *url.Userinfo
	if ref := config.ProxySecretRef; ref != nil {
		at := path.Child("proxySecretRef")
		if name, password := r.login(at, r.secret(at, ref)); name != "" {
			user = url.UserPassword(name, password)
		}
	}
	r.cluster.Access.Proxy = Proxy{
		HTTP:    r.proxyURL(path.Child("httpProxy"), config.HTTPProxy, user),
		HTTPS:   r.proxyURL(path.Child("httpsProxy"), config.HTTPSProxy, user),
		NoProxy: r.noProxy(path.Child("noProxy"), config.NoProxy),
	}
}

func (r *accessReader) proxyURL(path *field.Path, text string, user *url.Userinfo) string {
	if text == "" {
		return ""
	}
	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Opaque != "" || !isHost(parsed):
		r.fail(path, "must be a URL that begins with http:// or https://, for example http://proxy.example.com:3128")
		return ""
	case parsed.User != nil:
		r.fail(path, "must not have a user or password: put them into a Secret and name it in proxySecretRef")
		return ""
	case strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(text, "#"):
		r.fail(path, "must have nothing behind host and port")
		return ""
	}
	return (&url.URL{Scheme: parsed.Scheme, User: user, Host: parsed.Host}).String()
}

// noProxy is what belongs to the cluster itself, and then what the user wants besides, each once.
func (r *accessReader) noProxy(path *field.Path, wishes []string) []string {
	c := r.cluster
	out := []string{"localhost", "127.0.0.1", "::1"}
	for _, networks := range [][]netip.Prefix{c.Nodes, c.Pods, c.Services} {
		for _, network := range networks {
			out = append(out, network.String())
		}
	}
	out = append(out, ".svc", "."+c.ClusterDomain())
	if dns := c.Shoot.Spec.DNS; dns != nil && dns.Domain != nil {
		out = append(out, *dns.Domain, c.APIDomain())
	}
	for i, wish := range wishes {
		if !isNoProxy(wish) {
			r.fail(path.Index(i), "must be an address, a network such as 10.0.0.0/8, a host name, or a domain with a leading dot")
			continue
		}
		out = append(out, wish)
	}
	var unique []string
	for _, one := range out {
		if !slices.Contains(unique, one) {
			unique = append(unique, one)
		}
	}
	return unique
}

func isNoProxy(wish string) bool {
	if _, err := netip.ParseAddr(wish); err == nil {
		return true
	}
	if _, err := netip.ParsePrefix(wish); err == nil {
		return true
	}
	name, _ := strings.CutPrefix(wish, ".")
	parsed, err := url.Parse("//" + name)
	return err == nil && parsed.Host == name && isHost(parsed) && len(validation.IsDNS1123Subdomain(parsed.Hostname())) == 0
}
