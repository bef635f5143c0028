// Package dropin turns what a host is and allows into files and unit drop-ins that only this host has.
// Used by init, join and the node agent beside the OperatingSystemConfig, whose checksum must not depend on the host.
package dropin

import (
	"fmt"
	"slices"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Paths of the local files that layout does not name. kubelet reads only files in its --config-dir that end in .conf.
const (
	fileKubelet    = layout.DirKubeletConfig + "/50-host.conf"
	fileContainerd = layout.DirContainerdDropIns + "/50-host.toml"
	dropInOOM      = "50-host-oom.conf"
)

// FileResolvConf is there only on a host without a nameserver that pods could reach.
const FileResolvConf = layout.DirKubelet + "/resolv.conf"

// Compute returns what this host adds to the OperatingSystemConfig of its pool. It is pure.
// Files that a host does not need are left out, and the node agent removes them when they are there from before.
func Compute(facts host.Facts, node cluster.Node) (agent.Local, error) {
	identity, err := EncodeNode(node)
	if err != nil {
		return agent.Local{}, err
	}
	kubelet := files{fileKubelet: kubeletConfig(facts), FileResolvConf: resolvConf(facts), layout.FileKubeletArgs: kubeletArgs(node)}
	containerd := files{fileContainerd: containerdConfig(facts)}
	network := files{layout.FileNode: string(identity)}

	return agent.Local{
		Files: slices.Concat(network.files(), containerd.files(), kubelet.files()),
		// The OperatingSystemConfig says in which order units are restarted.
		Units: []extensionsv1alpha1.Unit{
			{Name: layout.UnitNetwork, FilePaths: network.paths()},
			{Name: layout.UnitProxy, DropIns: oomDropIns(facts)},
			{Name: layout.UnitContainerd, FilePaths: containerd.paths(), DropIns: oomDropIns(facts)},
			{Name: layout.UnitKubelet, FilePaths: kubelet.paths(), DropIns: oomDropIns(facts)},
		},
	}, nil
}

// files maps paths to contents; an empty one is no file.
type files map[string]string

func (f files) paths() []string {
	var out []string
	for path, content := range f {
		if content != "" {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

func (f files) files() []extensionsv1alpha1.File {
	var out []extensionsv1alpha1.File
	for _, path := range f.paths() {
		mode := uint32(0o644)
		out = append(out, extensionsv1alpha1.File{Path: path, Permissions: &mode, Content: extensionsv1alpha1.FileContent{
			Inline: &extensionsv1alpha1.FileContentInline{Data: f[path]},
		}})
	}
	return out
}

// oomDropIns protect the unit from the kernel's OOM killer where that is allowed. The OperatingSystemConfig does not
// say it, because a machine that may not (a machine in a container) would refuse to start the unit.
func oomDropIns(facts host.Facts) []extensionsv1alpha1.DropIn {
	if !facts.LowersOOMScore {
		return nil
	}
	return []extensionsv1alpha1.DropIn{{Name: dropInOOM, Content: "[Service]\nOOMScoreAdjust=-999\n"}}
}

// kubeletArgs names the node and its address, which kubelet must not guess, and its zone. Quotes let a shell read the file too.
func kubeletArgs(node cluster.Node) string {
	zone := ""
	if node.Zone != "" {
		zone = fmt.Sprintf(" --node-labels=%s=%s", corev1.LabelTopologyZone, node.Zone)
	}
	return fmt.Sprintf("KUBELET_EXTRA_ARGS=\"--node-ip=%s --hostname-override=%s%s\"\n", node.IP(), node.Name, zone)
}
