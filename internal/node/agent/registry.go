package agent

import (
	"fmt"
	"slices"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// registryFiles are the hosts.toml of the registries that extensions ask for (contract node-agent-and-osc §6.3 step 9); a file of
// the OperatingSystemConfig with the same path wins. Hosts are not probed first (readinessProbe): while one does not answer,
// containerd asks the next. The cluster's mirrors come first. What stands behind them is the extension's to say, also in a cluster
// whose other registries have mirrors only (strict): it asked for this one by name.
func registryFiles(config *extensionsv1alpha1.CRIConfig, mirrors []registry.Host) ([]extensionsv1alpha1.File, error) {
	if config == nil || config.Containerd == nil {
		return nil, nil
	}
	var out []extensionsv1alpha1.File
	for _, one := range config.Containerd.Registries {
		if err := checkName(one.Upstream); err != nil {
			return nil, fmt.Errorf("registry %q: %w", one.Upstream, err)
		}
		var server registry.Host
		if one.Server != nil {
			server.URL = *one.Server
		}
		mode := uint32(0o644)
		out = append(out, extensionsv1alpha1.File{Path: registry.File(one.Upstream), Permissions: &mode, Content: extensionsv1alpha1.FileContent{
			Inline: &extensionsv1alpha1.FileContentInline{Data: string(registry.Render(server, slices.Concat(mirrors, registryHosts(one.Hosts))))},
		}})
	}
	return out, nil
}

func registryHosts(hosts []extensionsv1alpha1.RegistryHost) []registry.Host {
	var out []registry.Host
	for _, host := range hosts {
		one := registry.Host{URL: host.URL, CACerts: host.CACerts, OverridePath: host.OverridePath != nil && *host.OverridePath}
		for _, capability := range host.Capabilities {
			one.Capabilities = append(one.Capabilities, string(capability))
		}
		if one.Capabilities == nil {
			one.Capabilities = []string{string(extensionsv1alpha1.PullCapability), string(extensionsv1alpha1.ResolveCapability)}
		}
		out = append(out, one)
	}
	return out
}
