package osc_test

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

//go:embed testdata/authority.pem
var authority string

const proxied = `
httpProxy: http://proxy.example:3128
httpsProxy: http://proxy.example:3128
noProxy: [.corp.example]
proxySecretRef: {name: login}
`

const mirrored = `
caBundleSecretRef: {name: ca}
registries:
- upstream: docker.io
  mirrors:
  - {url: "https://mirror.example:5000", caBundleSecretRef: {name: ca}, credentialsSecretRef: {name: login}}
  - {url: "https://harbor.example/v2/hub", overridePath: true, capabilities: [pull]}
- upstream: private.example:8443
  caBundleSecretRef: {name: ca}
  credentialsSecretRef: {name: login}
- upstream: ghcr.io
  mirrors: [{url: "http://192.0.2.7:5000"}]
- upstream: _default
  mirrors: [{url: "https://mirror.example:5000", caBundleSecretRef: {name: ca}}]
  mirrorsOnly: true
`

// TestAccess shows what a cluster's access to registries adds to the OperatingSystemConfig.
func TestAccess(t *testing.T) {
	for name, config := range map[string]string{"none": "", "proxy": proxied, "mirrors": mirrored} {
		t.Run(name, func(t *testing.T) {
			golden.Equal(t, "testdata/access-"+name+".txt", []byte(added(t, build(t, input(t)), build(t, withAccess(t, config)))))
		})
	}
}

// TestPoolTrustsItsAuthorities: what the pool or the CloudProfile trusts reaches containerd without any RegistryAccess.
func TestPoolTrustsItsAuthorities(t *testing.T) {
	in := input(t)
	in.Pool.Worker.CABundle = &authority
	full := build(t, in)
	if got := string(content(t, full, layout.DirContainerdCA+"/bundle.crt")); got != authority {
		t.Errorf("got bundle %q", got)
	}
	if !strings.Contains(string(content(t, full, layout.FileContainerdEnv)), ":"+layout.DirContainerdCA+"\n") {
		t.Error("containerd does not look there")
	}
}

// TestOnlyContainerdKnowsTheProxy: neither kubelet nor a static pod does, and nothing that others read has a password.
func TestOnlyContainerdKnowsTheProxy(t *testing.T) {
	full := build(t, withAccess(t, proxied+mirrored))
	private := 0
	for _, file := range full.Spec.Files {
		if file.Content.Inline == nil {
			continue
		}
		text := string(contentOf(t, file))
		secret := strings.Contains(text, "s3cret") || strings.Contains(text, "Basic ")
		if secret && *file.Permissions != 0o600 {
			t.Errorf("%s has a password and mode %#o", file.Path, *file.Permissions)
		}
		if secret {
			private++
		}
		if file.Path != layout.FileContainerdEnv && (strings.Contains(text, "proxy.example") || strings.Contains(text, "HTTP_PROXY") || strings.Contains(text, "HTTPS_PROXY")) {
			t.Errorf("%s knows the proxy", file.Path)
		}
	}
	if private != 3 {
		t.Errorf("%d files have a password: the test does not see what it should", private)
	}
	for _, unit := range full.Spec.Units {
		text := ""
		if unit.Content != nil {
			text = *unit.Content
		}
		for _, dropIn := range unit.DropIns {
			text += dropIn.Content
		}
		knows := strings.Contains(text, layout.FileContainerdEnv)
		if knows != (unit.Name == layout.UnitContainerd) || strings.Contains(text, "s3cret") || strings.Contains(text, "proxy.example") {
			t.Errorf("unit %s: %s", unit.Name, text)
		}
	}
}

// TestWhatRestartsContainerd: what it reads once, and not what it reads at every pull.
func TestWhatRestartsContainerd(t *testing.T) {
	full := build(t, withAccess(t, proxied+mirrored))
	watched := sets.New(unit(t, full, layout.UnitContainerd).FilePaths...)
	if !watched.HasAll(layout.FileContainerdEnv, layout.DirContainerdCA+"/bundle.crt") {
		t.Errorf("containerd restarts with %v only", sets.List(watched))
	}
	for path := range watched {
		if strings.HasPrefix(path, layout.DirRegistryHosts) {
			t.Errorf("containerd restarts with %s", path)
		}
	}
}

func withAccess(t *testing.T, config string) osc.Input {
	t.Helper()
	set := manifest.Builtin(netip.MustParsePrefix("10.250.0.0/16"))
	if config != "" {
		set.RegistryAccess = &configv1alpha1.RegistryAccess{ObjectMeta: metav1.ObjectMeta{Name: "access"}}
		if err := yaml.UnmarshalStrict([]byte(config), set.RegistryAccess); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string]map[string][]byte{
		"login": {"username": []byte("user"), "password": []byte("s3cret%")},
		"ca":    {"bundle.crt": []byte(authority)},
	} {
		set.Secrets = append(set.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: set.Shoot.Namespace, Name: name}, Data: data})
	}
	in := input(t)
	c, err := cluster.New(set, in.Cluster.UID)
	if err != nil {
		t.Fatal(err)
	}
	in.Cluster = c
	return in
}

// added prints the drop-ins and files that only the second has, and names the files that differ. Certificates are left out.
func added(t *testing.T, before, after *extensionsv1alpha1.OperatingSystemConfig) string {
	t.Helper()
	var out strings.Builder
	for i, unit := range after.Spec.Units {
		for _, dropIn := range unit.DropIns {
			fmt.Fprintf(&out, "=== %s.d/%s\n%s", unit.Name, dropIn.Name, dropIn.Content)
		}
		for _, path := range unit.FilePaths {
			if !slices.Contains(before.Spec.Units[i].FilePaths, path) {
				fmt.Fprintf(&out, "=== %s restarts with %s\n", unit.Name, path)
			}
		}
	}
	for _, file := range after.Spec.Files {
		at := slices.IndexFunc(before.Spec.Files, func(other extensionsv1alpha1.File) bool { return other.Path == file.Path })
		switch {
		case at < 0:
			text := strings.ReplaceAll(string(contentOf(t, file)), authority, "(authority)\n")
			fmt.Fprintf(&out, "=== %s %#o\n%s", file.Path, *file.Permissions, text)
		case !cmp.Equal(before.Spec.Files[at], file):
			fmt.Fprintf(&out, "=== %s differs\n", file.Path)
		}
	}
	return out.String()
}
