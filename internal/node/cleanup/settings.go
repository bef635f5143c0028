package cleanup

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// ownSettings are those that a node's files or pods set on any machine; a pool's own are in layout.FileSysctl.
func ownSettings() []string {
	return []string{
		"fs/file-max", "fs/inotify/max_user_instances", "fs/inotify/max_user_watches",
		"kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops",
		"net/bridge/bridge-nf-call-ip6tables", "net/bridge/bridge-nf-call-iptables",
		"net/ipv4/conf/all/rp_filter", "net/ipv4/conf/all/route_localnet", forwarding,
		"net/ipv4/neigh/default/gc_thresh1", "net/ipv4/neigh/default/gc_thresh2", "net/ipv4/neigh/default/gc_thresh3",
		"net/ipv6/conf/all/forwarding", "net/netfilter/nf_conntrack_max",
		"vm/max_map_count", "vm/overcommit_memory", "vm/panic_on_oom",
	}
}

// forwarding is the setting that changes others: all links forward with it, and accept redirects without.
const forwarding = "net/ipv4/ip_forward"

// follows says that a setting of a link changes with forwarding.
func follows(setting string) bool {
	parts := strings.Split(setting, "/")
	return len(parts) == 5 && parts[0] == "net" && parts[2] == "conf" && slices.Contains([]string{"forwarding", "accept_redirects"}, parts[4])
}

// settingsOnDisk reads the file that systemd-sysctl reads.
func (c *Cleanup) settingsOnDisk(ctx context.Context) []string {
	content, _ := c.Files.Read(ctx, layout.FileSysctl) // one that is missing sets nothing
	return settingsIn(content)
}

// settingsIn returns the settings of a sysctl.d(5) file as paths below /proc/sys; lines that it does not understand are passed over.
func settingsIn(file []byte) []string {
	var out []string
	for line := range bytes.Lines(file) {
		key, _, ok := strings.Cut(string(line), "=")
		key = strings.TrimPrefix(strings.TrimSpace(key), "-")
		if !ok || key == "" || strings.ContainsAny(key, "#; \t") {
			continue
		}
		// The first separator says which one it is; the other one stands for itself.
		if at := strings.IndexAny(key, "./"); at >= 0 && key[at] == '.' {
			key = strings.NewReplacer(".", "/", "/", ".").Replace(key)
		}
		out = append(out, key)
	}
	return out
}

// restoreSettings gives back the values of the record. Without one the values stay until the next boot.
func (c *Cleanup) restoreSettings(ctx context.Context) error {
	if c.found.before == nil {
		return nil
	}
	own := slices.Concat(ownSettings(), c.found.Settings)
	var errs []error
	// First the one on which others depend, and then those, looked at again.
	for _, ours := range []func(string) bool{
		func(setting string) bool { return setting == forwarding || setting == "net/ipv6/conf/all/forwarding" },
		func(setting string) bool { return slices.Contains(own, setting) || follows(setting) },
	} {
		is, err := c.Kernel.Settings(ctx)
		if err != nil {
			return err
		}
		for _, difference := range record.Differences(record.Setting, c.found.before.Items[record.Setting], is) {
			if difference.Change == record.Changed && ours(difference.Item) {
				errs = append(errs, c.Kernel.Set(ctx, difference.Item, difference.Was))
			}
		}
	}
	return errors.Join(errs...)
}
