package osc

import (
	"fmt"
	"slices"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// registries say of every registry that the cluster's mirrors are asked first. containerd reads their files at every pull, so they
// restart nothing. They are files and not criConfig.containerd.registries, which cannot hold credentials and is for extensions to fill in.
func registries(in Input) ([]unit, []file, error) {
	var files []file
	for _, one := range withDefault(in) {
		files = append(files, registryFiles(in, one)...)
	}
	return nil, files, nil
}

// withDefault adds the registries that the Shoot says nothing about. With strict nothing but the mirrors is asked for their images.
func withDefault(in Input) []cluster.Registry {
	all := in.Cluster.Access.Registries
	isDefault := func(one cluster.Registry) bool { return one.Upstream == cluster.UpstreamDefault }
	if len(in.ControlPlane) == 0 || slices.ContainsFunc(all, isDefault) {
		return all
	}
	return append([]cluster.Registry{{Upstream: cluster.UpstreamDefault, MirrorsOnly: in.Cluster.Access.Strict}}, all...)
}

// mirrors are those of the cluster: of all control plane nodes, that with the name first.
func mirrors(in Input, first string) []registry.Host {
	nodes := slices.Clone(in.ControlPlane)
	slices.SortStableFunc(nodes, func(a, b cluster.Node) int {
		switch {
		case a.Name == first && b.Name != first:
			return -1
		case a.Name != first && b.Name == first:
			return 1
		}
		return 0
	})
	var out []registry.Host
	for _, node := range nodes {
		out = append(out, registry.Mirror(node.IP()))
	}
	return out
}

// registryFiles are the files of one registry. Each control plane node gets its own, because it asks itself first.
func registryFiles(in Input, from cluster.Registry) []file {
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

	var behind []registry.Host
	for i, mirror := range from.Mirrors {
		if mirror.Capabilities == nil {
			mirror.Capabilities = []string{"pull", "resolve"} // containerd's default is to push, too
		}
		behind = append(behind, host(mirror, fmt.Sprintf("mirror-%d", i)))
	}
	var server registry.Host
	if from.Server != nil {
		server = host(*from.Server, "server")
	}
	render := func(first string) file {
		hosts, server := append(mirrors(in, first), behind...), server
		if from.MirrorsOnly {
			// Without a server containerd would ask the upstream in the end; to this one it would only push.
			server = registry.Host{URL: hosts[0].URL, Capabilities: []string{"push"}, CACerts: hosts[0].CACerts, DialTimeout: hosts[0].DialTimeout}
		}
		return inline(registry.File(from.Upstream), mode, registry.Render(server, hosts))
	}
	if !in.Pool.ControlPlane {
		return append(files, render(""))
	}
	for _, node := range in.Nodes {
		files = append(files, onNode(node.Name, render(node.Name)))
	}
	return files
}
