package dropin

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// resolvedConf is systemd-resolved's list of the nameservers that stand behind its stub.
const resolvedConf = "/run/systemd/resolve/resolv.conf"

// kubeletConfig is merged over the configuration file of the pool. It is written by hand and not as a
// KubeletConfiguration of the API, because that type prints its unset durations, and they would win.
func kubeletConfig(facts host.Facts) string {
	var lines []string
	if facts.CgroupVersion == 1 {
		// kubelet refuses cgroup v1 by default; with it (and hybrid hosts) cgroupfs is the driver that is tried.
		lines = append(lines, "cgroupDriver: cgroupfs", "failCgroupV1: false")
	}
	if !facts.LowersOOMScore {
		// With its default of -999 kubelet would log an error at every start.
		lines = append(lines, "oomScoreAdj: 0")
	}
	switch resolverOf(facts) {
	case resolverSystemd:
		lines = append(lines, "resolvConf: "+resolvedConf)
	case resolverNone:
		lines = append(lines, "resolvConf: "+FileResolvConf)
	}
	if len(lines) == 0 {
		return ""
	}
	header := []string{"apiVersion: kubelet.config.k8s.io/v1beta1", "kind: KubeletConfiguration"}
	return strings.Join(slices.Concat(header, lines), "\n") + "\n"
}

// resolvConf is what pods with the host's DNS (CoreDNS first) get on a host without a nameserver that they could reach.
// An empty list would let CoreDNS refuse to start, and with it all DNS of the cluster. In a pod's own network
// nobody listens at 127.0.0.1:53, so that foreign names are refused at once instead of after a timeout.
func resolvConf(facts host.Facts) string {
	if Resolves(facts) {
		return ""
	}
	return "# This host has no nameserver that pods could reach: nobody answers here.\nnameserver 127.0.0.1\n"
}

// Resolves says that the host has a nameserver that pods can reach.
func Resolves(facts host.Facts) bool { return resolverOf(facts) != resolverNone }

// resolver says where pods find the host's nameservers.
type resolver string

const (
	resolverHost    resolver = "host"    // in /etc/resolv.conf
	resolverSystemd resolver = "systemd" // behind systemd-resolved's stub
	resolverNone    resolver = "none"
)

// resolverOf: loopback is another place in a pod than on the host, so such nameservers do not count.
func resolverOf(facts host.Facts) resolver {
	local := func(a netip.Addr) bool { return a.IsLoopback() || a.IsUnspecified() }
	switch {
	case slices.ContainsFunc(facts.Nameservers, func(a netip.Addr) bool { return !local(a) }):
		return resolverHost
	case len(facts.Nameservers) > 0 && facts.SystemdResolvConf:
		return resolverSystemd
	default:
		return resolverNone
	}
}
