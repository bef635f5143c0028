package cluster

import (
	_ "embed"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http/httpproxy"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

//go:embed testdata/authority.pem
var authority string

const document = `
apiVersion: config.gardenadm.dev/v1alpha1
kind: RegistryAccess
metadata: {name: access}
`

// password is in all Secrets, and must be in no error.
const password = "s3cret:@/%"

// withSecrets is the built-in cluster with Secrets, which its spec.resources calls the-<name>.
func withSecrets() manifest.Set {
	set := builtin()
	add := func(name string, data map[string]string) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: set.Shoot.Namespace, Name: name}, Data: map[string][]byte{}}
		for key, value := range data {
			secret.Data[key] = []byte(value)
		}
		set.Secrets = append(set.Secrets, secret)
		set.Shoot.Spec.Resources = append(set.Shoot.Spec.Resources, gardencore.NamedResourceReference{
			Name: "the-" + name, ResourceRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "v1", Kind: "Secret", Name: name},
		})
	}
	add("login", map[string]string{"username": "user", "password": password})
	add("docker", map[string]string{".dockerconfigjson": `{"auths": {
		"https://index.docker.io/v1/": {"auth": "aHViOnMzY3JldDpALyU="},
		"mirror.example:5000": {"username": "mirror", "password": "s3cret:@/%"}}}`})
	add("ca", map[string]string{"bundle.crt": "# a comment\n" + authority})
	add("colon", map[string]string{"username": "us:er", "password": password})
	add("line", map[string]string{"username": "user", "password": password + "\n"})
	add("broken", map[string]string{".dockerconfigjson": password})
	set.Secrets = append(set.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "foreign"}})
	return set
}

func withDocument(t *testing.T, text string) manifest.Set {
	t.Helper()
	set := withSecrets()
	set.RegistryAccess = &configv1alpha1.RegistryAccess{}
	if err := yaml.UnmarshalStrict([]byte(document+text), set.RegistryAccess); err != nil {
		t.Fatal(err)
	}
	return set
}

func withExtension(t *testing.T, kind, config string) manifest.Set {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	set := withSecrets()
	set.Shoot.Spec.Extensions = []gardencore.Extension{{Type: kind, ProviderConfig: &runtime.RawExtension{Raw: raw}}}
	return set
}

func readAccess(t *testing.T, set manifest.Set) (*Cluster, manifest.Problems) {
	t.Helper()
	c := draft(set, "uid")
	problems := c.readAccess()
	if text := problems.Error(); strings.Contains(text, "s3cret") {
		t.Errorf("the password is in an error: %s", text)
	}
	return c, problems
}

func TestNoAccess(t *testing.T) {
	c, problems := readAccess(t, withSecrets())
	if len(problems) > 0 || !cmp.Equal(c.Access, Access{Strict: true}) || c.CABundle(c.ControlPlane) != "" {
		t.Errorf("something out of nothing: %v %+v", problems, c.Access)
	}
}

func TestAccess(t *testing.T) {
	c, problems := readAccess(t, withDocument(t, `
httpProxy: http://proxy.example:3128/
httpsProxy: https://proxy.example
noProxy: [.corp.example, 192.0.2.0/24, "mirror.example:5000", localhost]
proxySecretRef: {name: login}
caBundleSecretRef: {resourceName: the-ca}
registries:
- upstream: quay.io
  server: https://quay.example:8443/
  credentialsSecretRef: {name: login}
  caBundleSecretRef: {name: ca}
- upstream: docker.io
  mirrors:
  - {url: "https://mirror.example:5000", credentialsSecretRef: {name: docker}, caBundleSecretRef: {name: ca}}
  - {url: "http://192.0.2.7:5000//hub/", capabilities: [resolve, pull, pull], overridePath: true}
  credentialsSecretRef: {resourceName: the-docker}
- upstream: _default
  mirrors: [{url: "https://mirror.example:5000"}]
  mirrorsOnly: true
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := Access{
		Proxy: Proxy{
			HTTP: "http://user:s3cret%3A%40%2F%25@proxy.example:3128", HTTPS: "https://user:s3cret%3A%40%2F%25@proxy.example",
			NoProxy: []string{
				"localhost", "127.0.0.1", "::1", "10.250.0.0/16", "100.96.0.0/11", "100.64.0.0/13", ".svc", ".cluster.local",
				"local.gardenadm.internal", "api.local.gardenadm.internal", ".corp.example", "192.0.2.0/24", "mirror.example:5000",
			},
		},
		CABundle: authority,
		Registries: []Registry{
			{Upstream: "_default", MirrorsOnly: true, Mirrors: []RegistryHost{{URL: "https://mirror.example:5000"}}},
			{
				Upstream: "docker.io",
				Mirrors: []RegistryHost{
					{URL: "https://mirror.example:5000", Username: "mirror", Password: password, CABundle: authority},
					{URL: "http://192.0.2.7:5000/hub", Capabilities: []string{"pull", "resolve"}, OverridePath: true},
				},
				Server: &RegistryHost{URL: "https://registry-1.docker.io", Username: "hub", Password: password},
			},
			{Upstream: "quay.io", Server: &RegistryHost{URL: "https://quay.example:8443", CABundle: authority, Username: "user", Password: password}},
		},
	}
	if diff := cmp.Diff(want, c.Access); diff != "" {
		t.Error(diff)
	}
	if warnings := c.accessWarnings(); len(warnings) > 0 {
		t.Error(warnings)
	}
}

// TestAccessFromShoot: the same words as a providerConfig, beside Gardener's extension for mirrors.
func TestAccessFromShoot(t *testing.T) {
	set := withExtension(t, ExtensionRegistryAccess, document+`
registries:
- {upstream: private.example, server: "http://private.example", credentialsSecretRef: {resourceName: the-login}}
`)
	mirrors := withExtension(t, ExtensionRegistryMirror, `
apiVersion: mirror.extensions.gardener.cloud/v1alpha1
kind: MirrorConfig
mirrors:
- upstream: docker.io
  hosts:
  - host: https://mirror.gcr.io
  - {host: "https://private.example/v2/hub", capabilities: [pull, resolve], overridePath: true, caBundleSecretReferenceName: the-ca}
`)
	set.Shoot.Spec.Extensions = append(set.Shoot.Spec.Extensions, mirrors.Shoot.Spec.Extensions...)
	off := withExtension(t, ExtensionRegistryMirror, "off: true").Shoot.Spec.Extensions[0]
	off.Disabled = new(true)
	set.Shoot.Spec.Extensions = append(set.Shoot.Spec.Extensions, off)

	c, problems := readAccess(t, set)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := []Registry{
		{Upstream: "docker.io", Mirrors: []RegistryHost{
			{URL: "https://mirror.gcr.io", Capabilities: []string{"pull"}},
			{URL: "https://private.example/v2/hub", Capabilities: []string{"pull", "resolve"}, OverridePath: true, CABundle: authority},
		}},
		{Upstream: "private.example", Server: &RegistryHost{URL: "http://private.example", Username: "user", Password: password}},
	}
	if diff := cmp.Diff(want, c.Access.Registries); diff != "" {
		t.Error(diff)
	}
	if warnings := c.accessWarnings(); len(warnings) != 1 || !strings.Contains(warnings[0], "private.example") || strings.Contains(warnings[0], "s3cret") {
		t.Fatalf("a password without encryption needs a warning: %q", warnings)
	}
	if whole, err := New(set, "uid"); err != nil || len(whole.Access.Registries) != 2 || !slices.Contains(whole.Warnings, c.accessWarnings()[0]) {
		t.Errorf("the Shoot as a whole is refused, or nobody is warned: %v", err)
	}
}

func TestStrict(t *testing.T) {
	for name, test := range map[string]struct {
		config string
		want   bool
	}{
		"nothing said":         {"", true},
		"a mirror":             {"registries: [{upstream: docker.io, mirrors: [{url: https://mirror.example}]}]", true},
		"a registry":           {"registries: [{upstream: docker.io}]", true},
		"allowed":              {"strict: false", false},
		"a proxy":              {"httpsProxy: https://proxy.example", false},
		"a proxy for a mirror": {"httpProxy: http://proxy.example\nstrict: true", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, problems := readAccess(t, withDocument(t, test.config))
			if len(problems) > 0 || c.Access.Strict != test.want {
				t.Errorf("strict is %v, %v", c.Access.Strict, problems)
			}
		})
	}
}

func TestWithoutPasswords(t *testing.T) {
	c, _ := readAccess(t, withDocument(t, `
httpsProxy: https://proxy.example
proxySecretRef: {name: login}
registries:
- upstream: docker.io
  mirrors: [{url: "https://m.example", credentialsSecretRef: {name: login}}]
  credentialsSecretRef: {name: login}
`))
	before := fmt.Sprintf("%+v %+v", c.Access, c.Access.Registries[0].Server)
	shown := c.WithoutPasswords().Access
	text := fmt.Sprintf("%+v %+v", shown, shown.Registries[0].Server)
	if strings.Contains(text, "s3cret") || strings.Count(text, "xxxxx") != 3 || shown.Registries[0].Server.URL != "https://registry-1.docker.io" {
		t.Errorf("shown is %s", text)
	}
	if after := fmt.Sprintf("%+v %+v", c.Access, c.Access.Registries[0].Server); after != before {
		t.Error("the cluster itself was changed")
	}
}

func TestCABundle(t *testing.T) {
	set := withDocument(t, "caBundleSecretRef: {name: ca}")
	set.CloudProfile.Spec.CABundle = new("profile\n" + authority)
	set.Shoot.Spec.Provider.Workers[0].CABundle = new(authority)
	c, problems := readAccess(t, set)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := c.CABundle(c.ControlPlane); got != strings.Repeat(authority, 3) {
		t.Errorf("got %q", got)
	}
}

// TestNoProxy asks the library that containerd asks.
func TestNoProxy(t *testing.T) {
	c, _ := readAccess(t, withDocument(t, "httpsProxy: http://proxy.example:3128\nnoProxy: [.corp.example, 192.0.2.7]"))
	config := httpproxy.Config{HTTPSProxy: c.Access.Proxy.HTTPS, NoProxy: strings.Join(c.Access.Proxy.NoProxy, ",")}
	for target, proxied := range map[string]bool{
		"https://registry-1.docker.io/v2/":           true,
		"https://corp.example":                       true,
		"https://mirror.corp.example":                false,
		"https://192.0.2.7:5000":                     false,
		"https://192.0.2.8":                          true,
		"https://localhost:6443":                     false,
		"https://127.0.0.1:6443":                     false,
		"https://10.250.0.1:6443":                    false,
		"https://100.96.1.1":                         false,
		"https://100.64.0.1":                         false,
		"https://kubernetes.default.svc":             false,
		"https://registry.default.svc.cluster.local": false,
		"https://api.local.gardenadm.internal":       false,
		"https://cp-0.local.gardenadm.internal":      false,
	} {
		parsed, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		got, err := config.ProxyFunc()(parsed)
		if err != nil || (got != nil) != proxied {
			t.Errorf("%s goes by %v (%v), want by proxy: %t", target, got, err, proxied)
		}
	}
}

// FuzzAccess: whatever it is configured with is refused, or can be rendered; a password shows in no error.
func FuzzAccess(f *testing.F) {
	f.Add(`{"apiVersion":"config.gardenadm.dev/v1alpha1","kind":"RegistryAccess","registries":[{"upstream":"a:1","mirrors":[{"url":"http://[::1]:1/x"}]}]}`, authority, "{}")
	f.Add(`{"apiVersion":"mirror.extensions.gardener.cloud/v1alpha1","kind":"MirrorConfig","mirrors":[{"upstream":"a","hosts":[{"host":"https://b"}]}]}`, "", "")
	f.Add(`{"apiVersion":"config.gardenadm.dev/v1alpha1","kind":"RegistryAccess","registries":[{"upstream":"docker.io","credentialsSecretRef":{"resourceName":"the-docker"}}]}`,
		"-----BEGIN CERTIFICATE-----", `{"auths":{"docker.io":{"auth":"YTpi"}}}`)
	f.Fuzz(func(t *testing.T, config, bundle, docker string) {
		for _, kind := range []string{ExtensionRegistryAccess, ExtensionRegistryMirror} {
			set := withSecrets()
			set.Shoot.Spec.Extensions = []gardencore.Extension{{Type: kind, ProviderConfig: &runtime.RawExtension{Raw: []byte(config)}}}
			set.Shoot.Spec.Provider.Workers[0].CABundle = &bundle
			set.Secrets[1].Data = map[string][]byte{corev1.DockerConfigJsonKey: []byte(docker)}
			c := draft(set, "uid")
			if len(c.readAccess()) > 0 {
				continue
			}
			for _, registry := range c.Access.Registries {
				if registry.Upstream == "" || strings.ContainsAny(registry.Upstream, "/\\ \n") || strings.HasPrefix(registry.Upstream, ".") {
					t.Errorf("upstream %q is no name of a directory", registry.Upstream)
				}
				if len(registry.Mirrors) == 0 && (registry.Server == nil || registry.MirrorsOnly) {
					t.Errorf("nobody has the images of %s", registry.Upstream)
				}
				for _, host := range registry.hosts() {
					if parsed, err := url.Parse(host.URL); err != nil || parsed.Host == "" || parsed.User != nil || strings.ContainsAny(host.URL, "\"'\\ \n") {
						t.Errorf("URL %q: %v", host.URL, err)
					}
					if (host.Username == "") != (host.Password == "") || strings.ContainsAny(host.Username+host.Password, "\n\x00") {
						t.Errorf("credentials %q cannot be told", host.Username)
					}
				}
			}
		}
	})
}
