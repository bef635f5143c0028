package record

import (
	"path"
	"regexp"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// tolerated is a difference that is no leftover. Item and value are patterns in which * stands for anything; "" for any.
type tolerated struct {
	kind   Kind
	change Change
	item   string
	value  string // of what is, or was
	reason string
}

// Reasons that several have in common.
const (
	reasonOthers  = "no program of gardenadm's makes it"
	reasonCards   = "what network cards have comes from elsewhere"
	reasonFollows = "it comes and goes with links and addresses, which are compared themselves"
	reasonSession = "somebody is logged in or was"
	reasonSystem  = "systemd mounts it as needed"
	reasonDemand  = "it is started when somebody asks for it, and ends by itself"
	reasonRewrite = "its program changes it at any time"
)

// toleratedTable lists them. What is decided by more than a pattern is in tolerance.
func toleratedTable() []tolerated {
	return []tolerated{
		{File, "", layout.FileLock, "", "it is held while a command changes this machine, and gone with a reboot"},
		{File, "", FileAside, "", "it is this record, and gone with a reboot"},
		{File, "", FileKept, "", "it is this record"},

		{Mount, "", "/run/user/*", "", reasonSession},
		{Mount, "", "/run/credentials/*", "", reasonSystem},
		{Mount, "", "/run/systemd/*", "", reasonSystem},
		{Mount, "", "/proc/*", "", reasonSystem},
		{Mount, "", "/sys/*", "", reasonSystem},
		{Mount, "", "/dev/*", "", reasonSystem},

		{Unit, "", "session-*", "", reasonSession},
		{Unit, "", "user@*", "", reasonSession},
		{Unit, "", "user-*", "", reasonSession},
		{Unit, "", "getty@*", "", reasonSession},
		{Unit, "", "serial-getty@*", "", reasonSession},
		{Unit, "", "ssh*@*", "", reasonSession},
		{Unit, "", "systemd-hostnamed.service", "", reasonDemand},
		{Unit, "", "systemd-timedated.service", "", reasonDemand},
		{Unit, "", "systemd-localed.service", "", reasonDemand},
		{Unit, "", "packagekit.service", "", reasonDemand},
		{Unit, "", "run-*", "", "it was started for one command"},
		{Unit, Removed, "*", "failed*", "its failure was forgotten"},

		{Address, "", "", onCard, reasonCards},
		{Route, "", "", "made by dhcp", reasonCards},
		{Route, "", "", "made by ra", reasonCards},
		{Route, "", "", "made by kernel", reasonFollows},

		{Table, Changed, "*firewalld*", "", reasonRewrite},
		{Table, Changed, "*netavark*", "", reasonRewrite},
		{Table, Changed, "*f2b*", "", reasonRewrite},
		{Table, Changed, "*crowdsec*", "", reasonRewrite},
		{Table, Changed, "*libvirt*", "", reasonRewrite},
		{Chain, "", "*DOCKER*", "", reasonRewrite},
		{Chain, "", "*f2b-*", "", reasonRewrite},
		{Chain, "", "* CNI-*", "", reasonRewrite}, // the plugins that gardenadm brings use nftables

		{Module, "", "*", "", "modules stay, because others may use them by now; unused ones do nothing"},
	}
}

// foreignLinks begin the names of links that other programs make at any time.
func foreignLinks() []string {
	return []string{"docker", "br-", "virbr", "vnet", "podman", "cni-podman", "lxc", "lxd", "incus", "wg", "tun", "tap", "tailscale", "zt"}
}

// tolerance says why a difference is no leftover, "" when it is one or may be.
func tolerance(d Difference, before, after *Record) string {
	if d.Change == Unread {
		return ""
	}
	for _, one := range toleratedTable() {
		if one.fits(d) {
			return one.reason
		}
	}
	switch d.Kind {
	case File:
		if !mine(d.Item) {
			return reasonOthers
		}
		if dir := path.Dir(d.Item); (dir == layout.DirContainerd || dir == path.Dir(layout.SocketContainerd)) && before.Had(File, dir) {
			return "a containerd was there before, and what it keeps there is its own"
		}
	case Mount:
		// One that is gone may have been somebody's.
		if d.Change == Added && !below(d.Item) && !namespaceOfPod(d.Item, after) {
			return reasonOthers
		}
	case Unit:
		if d.Change == Added && !unitOfNode(d) {
			return reasonOthers
		}
	case Namespace:
		if !strings.HasPrefix(d.Item, "cni-") || d.Is == ofOthers {
			return reasonOthers
		}
	case Container, Image:
		if !strings.HasPrefix(d.Item, KubernetesNamespace+" ") {
			return reasonOthers
		}
	case Link:
		if d.Change == Added && foreignLink(d.Item, d.Is) {
			return reasonOthers
		}
	case Address:
		link, _, _ := strings.Cut(d.Item, " ")
		if d.Change == Added && foreignLink(link, after.Items[Link][link]) {
			return reasonOthers
		}
	}
	return ""
}

// namespaceOfPod says that a mount is a network namespace that is a pod's, or may be.
func namespaceOfPod(mount string, after *Record) bool {
	return strings.HasPrefix(mount, DirNamespaces+"/cni-") && after.Items[Namespace][path.Base(mount)] != ofOthers
}

// foreignLink knows the links of other programs. A pod network names its links veth and eight digits; Docker takes seven, Podman counts.
func foreignLink(name, is string) bool {
	for _, prefix := range foreignLinks() {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	ofPod := matches(`^veth[0-9a-f]{8}$`, name) || strings.HasSuffix(is, " in cni0")
	return strings.HasPrefix(name, "veth") && !ofPod
}

// unitOfNode says that a unit is one of a node: what is left without a file, or bears a name as ours.
func unitOfNode(d Difference) bool {
	return strings.Contains(d.Is, "without a unit file") ||
		matches(`^(gardener-|gardenadm|gardenlet|kubelet|kubepods|containerd|cri-containerd-|kube-)`, d.Item)
}

func matches(expression, text string) bool { return regexp.MustCompile(expression).MatchString(text) }

func (t tolerated) fits(d Difference) bool {
	if t.kind != d.Kind || t.change != "" && t.change != d.Change {
		return false
	}
	if t.value != "" && !(glob(t.value, d.Is) || d.Change == Removed && glob(t.value, d.Was)) {
		return false
	}
	return t.item == "" || glob(t.item, d.Item)
}

// glob compares a text with a pattern in which * stands for anything.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	first, last := parts[0], parts[len(parts)-1]
	rest, begins := strings.CutPrefix(text, first)
	rest, ends := strings.CutSuffix(rest, last)
	if !begins || !ends {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}

// changesByItself says that a setting of the kernel is a measurement, or is adapted by the kernel.
func changesByItself(setting string) bool {
	for _, pattern := range []string{
		"kernel/random/*", "kernel/ns_last_pid", "kernel/pty/nr", "kernel/perf_*", "kernel/hostname", "kernel/domainname",
		"kernel/cap_last_cap", "kernel/tainted", "kernel/sched_domain/*", "kernel/spl/*", "kernel/keys/*_used",
		"fs/*-nr", "fs/*-state", "fs/quota/*", "fs/binfmt_misc/*", "fs/mqueue/*_used",
		"net/*/neigh/*", "net/netfilter/*_count", "net/netfilter/nf_conntrack_buckets", "net/*/route/flush", "net/*/tcp_fastopen_key",
		"net/core/netdev_rss_key", "net/*/conf/*/stable_secret", "sunrpc/*",
	} {
		if glob(pattern, setting) {
			return true
		}
	}
	return false
}
