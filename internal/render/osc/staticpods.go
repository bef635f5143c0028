package osc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// staticPods lays manifests and files, each for its node only (contract node-agent-and-osc §7 file and §1.1 hostName).
// A pod's files come before its manifest: kubelet starts it as soon as that is there.
func staticPods(in Input) ([]unit, []file, error) {
	var files []file
	for _, node := range slices.Sorted(maps.Keys(in.StaticPods)) {
		if !in.Pool.ControlPlane {
			return nil, nil, fmt.Errorf("node %s has static pods, but its pool is not the control plane's", node)
		}
		if !slices.ContainsFunc(in.Nodes, func(other cluster.Node) bool { return other.Name == node }) {
			return nil, nil, fmt.Errorf("node %s has static pods, but is not in the pool", node)
		}
		pods := slices.SortedFunc(slices.Values(in.StaticPods[node]), func(a, b staticpod.Pod) int { return strings.Compare(a.Name, b.Name) })
		for _, pod := range pods {
			for _, content := range pod.Files {
				files = append(files, onNode(node, inline(content.Path, content.Mode, content.Data)))
			}
			files = append(files, onNode(node, inline(layout.DirManifests+"/"+pod.Name+".yaml", 0o640, pod.Manifest)))
		}
	}
	return nil, files, nil
}

func onNode(name string, file file) file {
	file.HostName = &name
	return file
}
