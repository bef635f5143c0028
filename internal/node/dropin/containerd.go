package dropin

import (
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// containerdConfig is imported by containerd's configuration and merged over it, key by key (tried with 2.4.2:
// false wins over true, and other options of the runtime stay).
func containerdConfig(facts host.Facts) string {
	var lines []string
	if !facts.LowersOOMScore {
		// Containers of system pods ask for a negative score; containerd raises it to its own instead of failing.
		lines = append(lines, "", "[plugins.'io.containerd.cri.v1.runtime']", "  restrict_oom_score_adj = true")
	}
	if facts.CgroupVersion == 1 {
		// It must be what kubelet's cgroupDriver is.
		lines = append(lines, "", "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]", "  SystemdCgroup = false")
	}
	if len(lines) == 0 {
		return ""
	}
	return "version = 3\n" + strings.Join(lines, "\n") + "\n"
}
