package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// bootTimeout is generous: a machine with systemd is up in about a second, one with a cluster on it in less than a minute.
const bootTimeout = 3 * time.Minute

// entry runs before systemd. It takes away what the engine lays over a machine's own files (so that they can be
// replaced by rename, and stay), gives it the journal and /tmp of its disk instead of memory, and shares mounts as
// systemd does on a real machine and as the kubelet needs it. On cgroup v1 Podman also lays the host's whole systemd
// hierarchy over the machine's own part: with that, the units of all machines would share cgroups, and a unit that
// is stopped on one machine would wait for the processes of the others. Docker sets a default route even on an
// internal network.
const entry = `
for over in /etc/resolv.conf /etc/hosts /etc/hostname /var/log/journal /tmp; do
	while grep -q " $over " /proc/mounts; do umount -l $over || exit 1; done
done
while [ "$(grep -c ' /sys/fs/cgroup/systemd ' /proc/mounts)" -gt 1 ]; do
	umount -l /sys/fs/cgroup/systemd/release_agent
	umount -l /sys/fs/cgroup/systemd || exit 1
done
ip route del default 2> /dev/null
[ -s /etc/hostname ] || hostname > /etc/hostname
[ -s /etc/hosts ] || printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n' "$(hostname)" > /etc/hosts
[ -e /dev/kmsg ] || ln -s console /dev/kmsg
chmod 1777 /tmp
mount --make-rshared /
exec /sbin/init
`

// Boot starts a machine of that name on the network: it is created if there is none, and switched on if it is off.
func (n *Network) Boot(ctx context.Context, name string) (*Machine, error) {
	machine, err := n.engine.openMachine(ctx, n.run, name)
	if err != nil {
		return nil, err
	}
	if machine == nil {
		if machine, err = n.create(ctx, name); err != nil {
			return nil, fmt.Errorf("create machine %s: %w", name, err)
		}
	}
	return machine, machine.Start(ctx)
}

// create leaves the machine switched off.
func (n *Network) create(ctx context.Context, name string) (*Machine, error) {
	full, err := n.run.full(name)
	if err != nil {
		return nil, err
	}
	image, err := n.engine.Image(ctx)
	if err != nil {
		return nil, err
	}
	n.booting.Lock()
	defer n.booting.Unlock()
	address, err := n.nextAddress(ctx)
	if err != nil {
		return nil, err
	}
	labels := n.run.labels(labelName+"="+name, labelNetwork+"="+n.name, labelAddress+"="+address.String())
	volume := full + "-var"
	if err := n.engine.run(ctx, IO{}, append(append([]string{"volume", "create"}, labels...), volume)...); err != nil {
		return nil, err
	}
	args := []string{"create", "--name", full, "--hostname", name, "--privileged", "--cgroupns=private",
		"--network", n.full, "--ip", address.String(), "--mac-address", hardware(address), // both stay over a power cut, as on a real machine
		"--ulimit", "nofile=20000:20000", "--ulimit", "nproc=30000:30000", // said, because raising a hard limit may not be allowed
		"--stop-signal", "SIGRTMIN+3", "--stop-timeout", "0"} // "rm" need not wait; Stop says its own time
	if n.engine.docker() {
		args = append(args, "--volume", volume+":/var",
			"--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--env", "container=docker")
	} else {
		args = append(args, "--volume", volume+":/var:suid,exec,dev", "--systemd=always")
	}
	args = append(args, labels...)
	if err := n.engine.run(ctx, IO{}, append(args, image, "/bin/sh", "-c", entry)...); err != nil {
		_ = n.engine.run(context.WithoutCancel(ctx), IO{}, "volume", "rm", volume)
		return nil, err
	}
	return &Machine{engine: n.engine, run: n.run, name: name, full: full, address: address}, nil
}

// nextAddress is the first one that no machine of the network has, running or not; .10 is the first.
func (n *Network) nextAddress(ctx context.Context) (netip.Addr, error) {
	out, err := n.engine.machineLabels(ctx, labelAddress, labelRun+"="+n.run.Prefix, labelNetwork+"="+n.name)
	if err != nil {
		return netip.Addr{}, err
	}
	taken := map[string]bool{}
	for _, address := range out {
		taken[address] = true
	}
	address := n.subnet.Addr()
	for range 10 {
		address = address.Next()
	}
	for ; n.subnet.Contains(address) && address != broadcast(n.subnet); address = address.Next() {
		if !taken[address.String()] {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("choose address: network %s has no free one", n.full)
}

// hardware makes a link address from an IP address, as Docker does: neighbours' tables stay right over a power cut.
func hardware(address netip.Addr) string {
	b := address.As4()
	return fmt.Sprintf("02:42:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// Start switches the machine on, with the files it had, and waits until systemd says that it has booted. Failed
// units do not make it an error: a machine that lost its power may well have some.
func (m *Machine) Start(ctx context.Context) error {
	if err := allowInotify(); err != nil {
		return fmt.Errorf("start machine %s: %w", m.name, err)
	}
	if err := m.engine.run(ctx, IO{}, "start", m.full); err != nil {
		return fmt.Errorf("start machine %s: %w", m.name, err)
	}
	if err := m.letForward(); err != nil {
		return fmt.Errorf("start machine %s: %w", m.name, err)
	}
	waiting, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	for {
		out, err := m.Exec(waiting, "systemctl", "is-system-running", "--wait")
		switch state := strings.TrimSpace(out.Stdout); state {
		case "running", "degraded":
			return m.settle(waiting)
		}
		select {
		case <-waiting.Done():
			return fmt.Errorf("start machine %s: systemd has not booted: %w\n%s", m.name,
				errors.Join(context.Cause(waiting), err), m.whyNotBooted(context.WithoutCancel(ctx)))
		case <-time.After(50 * time.Millisecond):
		}
		if status, err := m.status(waiting); err == nil && status != "running" {
			return fmt.Errorf("start machine %s: it is %s again\n%s", m.name, status, m.whyNotBooted(context.WithoutCancel(ctx)))
		}
	}
}

// settle waits until the kernel has made sure that nobody else has the machine's IPv6 addresses: up to then they and their
// routes come into being by themselves, and a test that compares two looks at the network would see it.
func (m *Machine) settle(ctx context.Context) error {
	if _, err := m.Exec(ctx, "sh", "-c", "while ip -6 address show tentative | grep -q .; do sleep 0.05; done"); err != nil {
		return fmt.Errorf("start machine %s: its network does not settle: %w", m.name, err)
	}
	return nil
}

// whyNotBooted is as much as can be had of a machine that does not come up.
func (m *Machine) whyNotBooted(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var text strings.Builder
	_ = m.engine.run(ctx, IO{Out: &text, Err: &text}, "logs", "--tail", "20", m.full)
	out, _ := m.Exec(ctx, "sh", "-c", "systemctl list-jobs --no-pager; systemctl --failed --no-pager")
	return text.String() + out.Stdout + out.Stderr
}

// letForward has the kernel offer what comes from the machine's bridge to the forward hook, where the network's
// fence drops and counts it. Podman makes each new bridge of an internal network with forwarding off: packets that
// try to leave would die unseen.
func (m *Machine) letForward() error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil {
			continue // a link that is gone meanwhile
		}
		for _, address := range addresses {
			if subnet, ok := address.(*net.IPNet); ok && subnet.Contains(m.address.AsSlice()) {
				return os.WriteFile("/proc/sys/net/ipv4/conf/"+link.Name+"/forwarding", []byte("1"), 0)
			}
		}
	}
	return fmt.Errorf("the host has no link to %s", m.address)
}

// allowInotify: every systemd, kubelet and container runtime of every machine watches files as the same user, and
// the kernel's default of 128 watchers is used up by two clusters.
func allowInotify() error {
	const path, wanted = "/proc/sys/fs/inotify/max_user_instances", 1024
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if have, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && have >= wanted {
		return nil
	}
	return os.WriteFile(path, []byte(strconv.Itoa(wanted)), 0)
}
