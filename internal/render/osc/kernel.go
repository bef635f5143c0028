package osc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// sysctls are the kernel's settings by key. All but forwarding, without which there is no pod network, bear systemd's "-":
// a machine that is a container may have no right to set them, and a key may be missing until its module is loaded.
func sysctls() map[string]string {
	return map[string]string{
		"net.ipv4.ip_forward": "1",
		// Service traffic between pods of one node must pass the rules of kube-proxy.
		"-net.bridge.bridge-nf-call-iptables":  "1",
		"-net.bridge.bridge-nf-call-ip6tables": "1",
		// Answers may come in on another link than the route back points to; loose mode.
		"-net.ipv4.conf.all.rp_filter":       "2",
		"-net.ipv4.neigh.default.gc_thresh1": "1024",
		"-net.ipv4.neigh.default.gc_thresh2": "4096",
		"-net.ipv4.neigh.default.gc_thresh3": "8192",
		// kube-proxy leaves conntrack alone.
		"-net.netfilter.nf_conntrack_max": "1048576",
		"-fs.file-max":                    "20000000",
		"-fs.inotify.max_user_instances":  "8192",
		"-fs.inotify.max_user_watches":    "524288",
		"-vm.max_map_count":               "262144",
		// What kubelet wants (its protectKernelDefaults).
		"-vm.overcommit_memory":      "1",
		"-vm.panic_on_oom":           "0",
		"-kernel.panic":              "10",
		"-kernel.panic_on_oops":      "1",
		"-kernel.keys.root_maxkeys":  "1000000",
		"-kernel.keys.root_maxbytes": "25000000",
	}
}

// kernel has the file in plain text, since webhooks edit it (contract node-agent-and-osc §1.3 and §3 kernel-config).
func kernel(in Input) ([]unit, []file, error) {
	settings := sysctls()
	for key, value := range in.Pool.Worker.Sysctls {
		key = cluster.SysctlKey(key)
		delete(settings, "-"+key)
		settings[key] = value // the user's own must work or fail loudly
	}
	var text strings.Builder
	byKey := func(a, b string) int { return strings.Compare(strings.TrimPrefix(a, "-"), strings.TrimPrefix(b, "-")) }
	for _, key := range slices.SortedFunc(maps.Keys(settings), byKey) {
		fmt.Fprintf(&text, "%s = %s\n", key, settings[key])
	}
	return []unit{{
		Name:      layout.UnitSysctl,
		Command:   new(extensionsv1alpha1.CommandRestart),
		FilePaths: []string{layout.FileSysctl},
	}}, []file{plain(layout.FileSysctl, 0o644, text.String())}, nil
}
