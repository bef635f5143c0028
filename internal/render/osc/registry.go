package osc

import (
	"fmt"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// registries are those that the Shoot says something about. containerd reads their files at every pull, so they restart nothing.
// They are files and not criConfig.containerd.registries, which cannot hold credentials and is for extensions to fill in.
func registries(in Input) ([]unit, []file, error) {
	var files []file
	for _, one := range in.Cluster.Access.Registries {
		files = append(files, registryFiles(one)...)
	}
	return nil, files, nil
}

func registryFiles(from cluster.Registry) []file {
	var files []file
	mode := uint32(0o644)
	host := func(of cluster.RegistryHost, name string) registry.Host {
		out := registry.Host{URL: of.URL, Capabilities: of.Capabilities, OverridePath: of.OverridePath}
		if of.CABundle != "" {
			path := registry.Dir(from.Upstream) + "/" + name + ".crt"
			files = append(files, inline(path, 0o644, []byte(of.CABundle)))
			out.CACerts = []string{path}
		}
		if of.Password != "" {
			mode, out.Authorization = 0o600, registry.Basic(of.Username, of.Password)
		}
		return out
	}

	var mirrors []registry.Host
	for i, mirror := range from.Mirrors {
		if mirror.Capabilities == nil {
			mirror.Capabilities = []string{"pull", "resolve"} // containerd's default is to push, too
		}
		mirrors = append(mirrors, host(mirror, fmt.Sprintf("mirror-%d", i)))
	}
	var server registry.Host
	switch {
	case from.MirrorsOnly:
		// Without a server containerd would ask the upstream in the end; of this one it would only push.
		server = registry.Host{URL: mirrors[len(mirrors)-1].URL, Capabilities: []string{"push"}}
	case from.Server != nil:
		server = host(*from.Server, "server")
	}
	return append(files, inline(registry.File(from.Upstream), mode, registry.Render(server, mirrors)))
}
