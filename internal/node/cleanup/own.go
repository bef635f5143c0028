package cleanup

import (
	"context"
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// What on a machine is gardenadm's or its pods' by name. What has such a name and was there before is not.

const (
	fileCNI    = layout.DirCNIConf + "/10-flannel.conflist"
	bridge     = "cni0"
	dirCNIData = "/var/lib/cni"
)

// ownUnit knows gardenadm's own units. Others whose names begin like theirs are the user's.
func ownUnit(name string) bool {
	return slices.Contains([]string{
		layout.UnitNetwork, layout.UnitProxySocket, layout.UnitProxy, layout.UnitMirror, layout.UnitGardenlet, layout.UnitNodeAgent,
	}, name)
}

// usualFiles are those of any node's configuration that are not in a directory of its own, for when nobody remembers what was applied.
func usualFiles() []string {
	out := []string{layout.FileSysctl, layout.FileJournaldConf, layout.FileKubeletBinary, layout.FileKubectl, layout.FileEtcdData}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "runc"} {
		out = append(out, path.Join(layout.DirBin, name))
	}
	for _, name := range []string{"bridge", "host-local", "loopback", "portmap"} {
		out = append(out, path.Join(layout.DirCNIBin, name))
	}
	return out
}

// ownLink knows the links of the pod network and of kube-proxy.
func ownLink(link host.Link) bool {
	return slices.Contains([]string{"flannel.1", "flannel-v6.1", bridge, "kube-ipvs0"}, link.Name) || link.Kind == "veth" && link.Master == bridge
}

// proxyNetwork holds the address at which pods reach the endpoint proxy, on loopback.
func proxyNetwork() netip.Prefix { return netip.MustParsePrefix("240.0.0.0/8") }

// ownTable knows the tables of kube-proxy, flannel and the CNI plugins, in any family.
func ownTable(name string) bool {
	return slices.Contains([]string{"kube-proxy", "flannel-ipv4", "flannel-ipv6", "cni_hostport", "cni_plugins_masquerade"}, name)
}

// ownChain knows the chains of iptables that kubelet, kube-proxy and flannel make. Those of CNI plugins are others': ours use nftables.
func ownChain(name string) bool {
	prefixes := []string{"KUBE-", "FLANNEL-"}
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// ownNamespaces returns what knows the network namespaces that containerd makes for pods: none where it cannot be told whose they are.
func (c *Cleanup) ownNamespaces(ctx context.Context) (func(name string) bool, error) {
	others, err := record.NamespacesOfOthers(ctx, c.Host)
	return func(name string) bool {
		return err == nil && strings.HasPrefix(name, "cni-") && !slices.Contains(others, name)
	}, err
}

// data are the directories that hold what belongs to the node alone, but for those of a containerd and of etcd.
func data() []string {
	return []string{
		layout.DirKubelet, layout.DirStaticPods, layout.DirPodLogs, "/var/log/containers", layout.DirAuditLog, "/run/flannel",
		path.Dir(layout.DirManifests),
	}
}

// runtimeData are those of our own containerd.
func runtimeData() []string {
	return []string{layout.DirContainerd, path.Dir(layout.SocketContainerd), path.Dir(layout.FileContainerdConf), "/var/bin/containerruntimes"}
}

// runtimeMounts are those below which pods have mounts in somebody else's containerd.
func runtimeMounts() []string {
	return []string{path.Join(dirTasks, record.KubernetesNamespace), "/run/containerd/io.containerd.grpc.v1.cri"}
}

// within says that the path is the directory or below it.
func within(file, dir string) bool { return file == dir || strings.HasPrefix(file, dir+"/") }

func withinAny(file string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(file, dir) })
}

// networksOnDisk finds the networks of services in the unit that lays their routes, and those of pods in the CNI configuration.
// What cannot be read or understood names none.
func (c *Cleanup) networksOnDisk(ctx context.Context) []netip.Prefix {
	var out []netip.Prefix
	add := func(text string) {
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Bits() > 0 {
			out = append(out, prefix.Masked())
		}
	}
	unit, _ := c.Files.Read(ctx, path.Join(layout.DirUnits, layout.UnitNetwork))
	words := strings.Fields(string(unit))
	if at := slices.Index(words, "--services"); at >= 0 && at+1 < len(words) {
		for _, text := range strings.Split(words[at+1], ",") {
			add(text)
		}
	}
	raw, _ := c.Files.Read(ctx, fileCNI)
	var conflist struct {
		Plugins []struct {
			IPAM struct {
				Routes []struct{ Dst string }
			}
		}
	}
	if json.Unmarshal(raw, &conflist) == nil {
		for _, plugin := range conflist.Plugins {
			for _, route := range plugin.IPAM.Routes {
				add(route.Dst)
			}
		}
	}
	return out
}
