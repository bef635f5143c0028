package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// preflightData is the part of `preflight -o json` that the stories read.
type preflightData struct {
	Passed      bool
	NodeAddress string
	Checks      []struct {
		Name, Status string
		Findings     []struct {
			Severity, Code, Cause, Fix string
			Evidence                   []string
		}
	}
}

// machineState is all that a command could leave behind. Directories in which a temporary file is made and removed keep all
// but their times; what systemd writes by itself is left out.
const machineState = `
find / /var -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/log -o -path /var/lib/systemd \) -prune \
  -o \( -path /var/lib -o -path /var/lib/containerd -o -path / \) -printf '%p %y %m %U:%G\n' \
  -o -printf '%p %y %m %U:%G %s %T@ %C@ %l\n' | sort -u
find /run -xdev \( -path /run/systemd -o -path /run/log -o -path /run/credentials \) -prune -o -print | sort
ip -d link; ip addr; ip rule; ip route show table all; ip -6 route show table all
grep -hv /run/credentials/ /proc/1/mountinfo /proc/modules
find /proc/sys/net /proc/sys/vm -type f ! -name '*conntrack_count' ! -path '*/route/flush' ! -name stat_refresh -exec grep -sH . {} +
systemctl list-units --all --plain --no-legend --type=service,mount,socket | grep -v /run/credentials/`

// machineFaults are things that are wrong with a machine: how they come about, how they go, and how preflight names them.
var machineFaults = map[string]struct{ spoil, mend, code, mention string }{
	"port taken": {
		"systemd-run --unit=pf-port systemd-socket-activate -l 6443 cat; until ss -ltn | grep -q :6443; do sleep 0.1; done",
		"systemctl stop pf-port.service", "GA-2020", "systemd-socket- (pid ",
	},
	"swap": {
		`printf 'Filename Type Size Used Priority\n/dev/zram0 partition 1 0 -2\n' >/root/swaps; mount --bind /root/swaps /proc/swaps`,
		"umount /proc/swaps", "GA-2018", "/dev/zram0",
	},
	"host name":      {"echo localhost >/proc/sys/kernel/hostname", "echo preflight >/proc/sys/kernel/hostname", "GA-2005", "localhost"},
	"etcd's data":    {"mkdir -p /var/lib/etcd/member/snap; touch /var/lib/etcd/member/snap/db", "rm -r /var/lib/etcd", "GA-2025", "/var/lib/etcd/member/snap/db"},
	"kubelet's data": {"mkdir -p /var/lib/kubelet/pki; touch /var/lib/kubelet/pki/x", "rm -r /var/lib/kubelet", "GA-2007", "/var/lib/kubelet/pki/x"},
	"kubeadm's node": {"mkdir -p /etc/kubernetes/manifests; touch /etc/kubernetes/manifests/etcd.yaml", "rm -r /etc/kubernetes", "GA-2007", "kubeadm reset"},
	"kubeadm's drop-in": {
		"mkdir -p /usr/lib/systemd/system/kubelet.service.d; touch /usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
		"rm -r /usr/lib/systemd/system/kubelet.service.d", "GA-2027", "10-kubeadm.conf",
	},
	"read-only /opt": {"mount --bind /opt /opt; mount -o remount,bind,ro /opt", "umount /opt", "GA-2017", "/opt"},
	"small disk":     {"mkdir -p /var/lib/containerd; mount -t tmpfs -o size=64m none /var/lib/containerd", "umount /var/lib/containerd", "GA-2014", "MiB are free for /var/lib/containerd"},
	"few inodes":     {"mkdir -p /var/lib/containerd; mount -t tmpfs -o size=9g,nr_inodes=1000 none /var/lib/containerd", "umount /var/lib/containerd", "GA-2015", "/var/lib/containerd"},
	"no overlay on it": {
		"mkdir -p /var/lib/containerd /var/l /var/u /var/w; mount -t overlay -o lowerdir=/var/l,upperdir=/var/u,workdir=/var/w none /var/lib/containerd",
		"umount /var/lib/containerd", "GA-2009", "/var/lib/containerd",
	},
	"two addresses":     {"ip addr add 10.9.9.9/24 dev eth0", "ip addr del 10.9.9.9/24 dev eth0", "GA-2006", "10.9.9.9/24 (eth0"},
	"overlapping route": {"ip route add 100.96.0.0/16 dev eth0", "ip route del 100.96.0.0/16", "GA-2021", "100.96.0.0/16 over eth0"},
	"leftover link":     {"ip link add cni0 type bridge; ip addr add 10.244.0.1/24 dev cni0", "ip link del cni0", "GA-2007", "cni0"},
	"Docker's containerd": {
		`mkdir -p /etc/containerd; echo 'disabled_plugins = ["cri"]' >/etc/containerd/config.toml`,
		"rm -r /etc/containerd", "GA-2024", "Docker",
	},
	"another pod network": {"mkdir -p /etc/cni/net.d; touch /etc/cni/net.d/10-calico.conflist", "rm -r /etc/cni/net.d", "GA-2026", "10-calico.conflist"},
}

// TestPreflight: a good machine passes and is not touched, a faulty one is told why, and init refuses it before it changes anything.
func TestPreflight(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("preflight")
	node.run("systemctl", "is-system-running", "--wait")

	before := node.run("bash", "-c", machineState)
	began := time.Now()
	report := node.preflight(t, 0)
	t.Logf("preflight took %s", time.Since(began))
	if !report.Passed || report.NodeAddress != node.Addr().String() {
		t.Errorf("a good machine does not pass, or with address %s: %+v", report.NodeAddress, report.Checks)
	}
	node.unchanged(t, "preflight", before)

	for name, fault := range machineFaults {
		t.Run(name, func(t *testing.T) {
			node.run("bash", "-ec", fault.spoil)
			defer node.run("bash", "-ec", fault.mend)
			report := node.preflight(t, 3, "--skip-check", "disk-latency")
			if text := report.finding(fault.code); report.Passed || !strings.Contains(text, fault.mention) {
				t.Errorf("want %s with %q, got %q in %+v", fault.code, fault.mention, text, report.Checks)
			}
		})
	}
	t.Run("not root", func(t *testing.T) {
		out, err := node.Exec(s.ctx, "setpriv", "--reuid=65534", "--clear-groups", "gardenadm", "preflight")
		if out.Code != 3 || !strings.Contains(out.Stdout, "GA-2001") {
			t.Errorf("exit code %d (%v):\n%s%s", out.Code, err, out.Stdout, out.Stderr)
		}
	})
	t.Run("unknown check", func(t *testing.T) {
		out, err := node.Exec(s.ctx, "gardenadm", "preflight", "--skip-check", "colour")
		if out.Code != 2 || !strings.Contains(out.Stderr, "disk-latency") {
			t.Errorf("exit code %d (%v):\n%s", out.Code, err, out.Stderr)
		}
	})
	t.Run("init", func(t *testing.T) { node.initRefuses(t) })
}

// preflight runs it with an exit code that is expected.
func (h *host) preflight(t *testing.T, code int, args ...string) preflightData {
	t.Helper()
	out, err := h.Exec(h.story.ctx, append([]string{"gardenadm", "preflight", "-o", "json"}, args...)...)
	if out.Code != code {
		t.Errorf("exit code is %d, want %d: %v\n%s", out.Code, code, err, out.Stderr)
	}
	var report preflightData
	if err := json.Unmarshal([]byte(out.Stdout), &report); err != nil {
		t.Fatalf("%v:\n%s%s", err, out.Stdout, out.Stderr)
	}
	return report
}

// finding is the text of the failures with a code.
func (d preflightData) finding(code string) string {
	var text []string
	for _, check := range d.Checks {
		for _, finding := range check.Findings {
			if finding.Code == code && finding.Severity == "failure" {
				text = append(text, fmt.Sprint(finding.Cause, " ", finding.Evidence, " ", finding.Fix))
			}
		}
	}
	return strings.Join(text, "\n")
}

// initRefuses: two things are wrong, both are told, and nothing but the lock is there afterwards.
func (h *host) initRefuses(t *testing.T) {
	h.run("bash", "-ec", machineFaults["swap"].spoil)
	h.run("bash", "-ec", machineFaults["etcd's data"].spoil)
	before := h.run("bash", "-c", machineState)
	out, err := h.Exec(h.story.ctx, "gardenadm", "init", "--bundle", "/root/bundle")
	if out.Code != 3 || !strings.Contains(out.Stderr, "GA-2018") || !strings.Contains(out.Stderr, "GA-2025") {
		t.Errorf("exit code %d (%v), want 3 with both codes:\n%s", out.Code, err, out.Stderr)
	}
	h.unchanged(t, "init", before, "/run/gardenadm.lock")
}

// unchanged compares the machine's state, line by line.
func (h *host) unchanged(t *testing.T, who, before string, but ...string) {
	t.Helper()
	after := h.run("bash", "-c", machineState)
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	if len(old) < 1000 {
		t.Fatalf("the machine's state has %d lines only: the comparison proves nothing", len(old))
	}
	for _, line := range only(now, old) {
		if !slices.Contains(but, line) {
			t.Errorf("%s made %q", who, line)
		}
	}
	for _, line := range only(old, now) {
		t.Errorf("%s took away %q", who, line)
	}
}

// only returns the lines of a that b has not.
func only(a, b []string) []string {
	there := map[string]bool{}
	for _, line := range b {
		there[line] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(line string) bool { return there[line] })
}
