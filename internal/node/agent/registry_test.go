package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// withRegistries is a configuration whose containerd reaches registries in some way.
func withRegistries(environment string, hosts map[string]string) *extensionsv1alpha1.OperatingSystemConfig {
	osc := &extensionsv1alpha1.OperatingSystemConfig{}
	containerd := service("containerd.service", "[Service]\nExecStart=/opt/bin/containerd")
	if environment != "" {
		osc.Spec.Files = append(osc.Spec.Files, inline(layout.FileContainerdEnv, environment, 0o600))
		containerd.FilePaths = []string{layout.FileContainerdEnv}
		containerd.DropIns = []extensionsv1alpha1.DropIn{{Name: "40-environment.conf", Content: "[Service]\nEnvironmentFile=" + layout.FileContainerdEnv}}
	}
	for upstream, content := range hosts {
		osc.Spec.Files = append(osc.Spec.Files, inline(registry.File(upstream), content, 0o600))
	}
	osc.Spec.Units = []extensionsv1alpha1.Unit{containerd}
	return osc
}

func TestRegistriesRestartNothing(t *testing.T) {
	tests := map[string]struct {
		from, to *extensionsv1alpha1.OperatingSystemConfig
		restarts bool
	}{
		"added":         {withRegistries("", nil), withRegistries("", map[string]string{"docker.io": "a"}), false},
		"changed":       {withRegistries("", map[string]string{"docker.io": "a"}), withRegistries("", map[string]string{"docker.io": "b"}), false},
		"removed":       {withRegistries("", map[string]string{"docker.io": "a"}), withRegistries("", nil), false},
		"proxy added":   {withRegistries("", nil), withRegistries("HTTPS_PROXY=a", nil), true},
		"proxy changed": {withRegistries("HTTPS_PROXY=a", nil), withRegistries("HTTPS_PROXY=b", nil), true},
		"proxy removed": {withRegistries("HTTPS_PROXY=a", nil), withRegistries("", nil), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := booted(t)
			m.reconcile(want(t, test.from, Local{}))
			plan := m.reconcile(want(t, test.to, Local{}))
			restarts := slices.ContainsFunc(plan.Steps, func(step Step) bool { return step.Verb == Restart })
			if plan.Empty() || restarts != test.restarts {
				t.Errorf("want restart %t, got\n%s", test.restarts, plan)
			}
			if strings.Contains(plan.String(), "HTTPS_PROXY") {
				t.Error("the plan shows content")
			}
		})
	}
}

// TestRegistryGoesWithItsDirectory: containerd takes an empty directory for a registry without mirrors, and not the defaults.
func TestRegistryGoesWithItsDirectory(t *testing.T) {
	m := booted(t)
	m.reconcile(want(t, withRegistries("", map[string]string{"docker.io": "a", "quay.io": "a", "ghcr.io": "a"}), Local{}))
	m.write(registry.Dir("quay.io")+"/theirs.crt", "x")
	m.reconcile(want(t, withRegistries("", map[string]string{"ghcr.io": "a"}), Local{}))
	var left []string
	for _, info := range m.files(layout.DirRegistryHosts) {
		left = append(left, strings.TrimPrefix(info.Path, layout.DirRegistryHosts+"/"))
	}
	slices.Sort(left)
	if want := []string{"ghcr.io", "ghcr.io/hosts.toml", "quay.io", "quay.io/theirs.crt"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// TestRegistriesOfExtensions: an extension's webhook writes them into criConfig, and a file of the same registry wins.
func TestRegistriesOfExtensions(t *testing.T) {
	osc := withRegistries("", map[string]string{"docker.io": "ours"})
	osc.Spec.CRIConfig = &extensionsv1alpha1.CRIConfig{Containerd: &extensionsv1alpha1.ContainerdConfig{Registries: []extensionsv1alpha1.RegistryConfig{
		{Upstream: "docker.io", Hosts: []extensionsv1alpha1.RegistryHost{{URL: "http://10.0.0.1:5000"}}},
		{Upstream: "quay.io", Server: pointer("https://quay.io"), Hosts: []extensionsv1alpha1.RegistryHost{
			{URL: "http://10.0.0.2:5000"},
			{URL: "https://mirror/x", OverridePath: pointer(true), CACerts: []string{"/ca.crt"}, Capabilities: []extensionsv1alpha1.RegistryCapability{"pull"}},
		}},
	}}}
	m := booted(t)
	m.reconcile(want(t, osc, Local{Mirrors: []registry.Host{registry.Mirror(netip.MustParseAddr("10.0.0.9"))}}))
	for upstream, wanted := range map[string]string{"docker.io": "ours", "quay.io": `server = "https://quay.io"

[host."https://10.0.0.9:7444"]
capabilities = ["pull","resolve"]
ca = ["/var/lib/gardener-node-agent/cluster-ca.crt"]
dial_timeout = "2s"

[host."http://10.0.0.2:5000"]
capabilities = ["pull","resolve"]

[host."https://mirror/x"]
capabilities = ["pull"]
ca = ["/ca.crt"]
override_path = true
`} {
		got, err := m.Host().Files.Read(t.Context(), registry.File(upstream))
		if err != nil || string(got) != wanted {
			t.Errorf("%s: got (%v)\n%s", upstream, err, got)
		}
	}

	osc.Spec.CRIConfig.Containerd.Registries = nil
	m.reconcile(want(t, osc, Local{}))
	if names, err := m.Host().Files.List(t.Context(), layout.DirRegistryHosts); err != nil || !slices.Equal(names, []string{"docker.io"}) {
		t.Errorf("left are %v (%v)", names, err)
	}
}

func TestRegistryStaysInItsDirectory(t *testing.T) {
	for _, upstream := range []string{"", "..", "../../cron.d", "a/b", ".hidden"} {
		osc := &extensionsv1alpha1.OperatingSystemConfig{}
		osc.Spec.CRIConfig = &extensionsv1alpha1.CRIConfig{Containerd: &extensionsv1alpha1.ContainerdConfig{
			Registries: []extensionsv1alpha1.RegistryConfig{{Upstream: upstream}},
		}}
		if _, err := NewWant(osc, Local{}, "node-0"); err == nil {
			t.Errorf("registry %q is accepted", upstream)
		}
	}
}
