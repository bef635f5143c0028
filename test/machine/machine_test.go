package machine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/test/machine"
)

// start gives a test a run of its own, that is gone with all it made when the test is over.
func start(t *testing.T) (context.Context, *machine.Engine, machine.Run) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("machines need root")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	engine, err := machine.New(ctx, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	run := machine.Run{Prefix: fmt.Sprintf("mt%d-%d", os.Getpid(), time.Now().UnixNano()%1e6), PID: os.Getpid()}
	t.Cleanup(func() {
		if err := engine.Cleanup(context.Background(), run.Prefix); err != nil {
			t.Error(err)
		}
	})
	return ctx, engine, run
}

func network(t *testing.T, ctx context.Context, engine *machine.Engine, run machine.Run) *machine.Network {
	t.Helper()
	network, err := engine.CreateNetwork(ctx, run, "net", netip.Prefix{})
	if err != nil {
		t.Fatal(err)
	}
	return network
}

func boot(t *testing.T, ctx context.Context, network *machine.Network, name string) *machine.Machine {
	t.Helper()
	begin := time.Now()
	booted, err := network.Boot(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s booted in %.1fs", name, time.Since(begin).Seconds())
	return booted
}

// must runs a shell line on the machine and returns what it prints.
func must(t *testing.T, ctx context.Context, on *machine.Machine, line string) string {
	t.Helper()
	out, err := on.Exec(ctx, "bash", "-c", line)
	if err != nil {
		t.Fatalf("on %s: %v\n%s", on.Name(), err, out.Stdout)
	}
	return strings.TrimSpace(out.Stdout)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dial tries TCP from the machine; a refused connection has reached its target too.
func dial(ctx context.Context, from *machine.Machine, to netip.Addr) error {
	out, err := from.Exec(ctx, "timeout", "1", "bash", "-c", fmt.Sprintf("echo > /dev/tcp/%s/443", to))
	if err == nil || strings.Contains(out.Stderr, "refused") {
		return nil
	}
	return err
}

func TestMachineIsAPlainServer(t *testing.T) {
	ctx, engine, run := start(t)
	m := boot(t, ctx, network(t, ctx, engine, run), "m1")
	for _, check := range []struct{ line, want string }{
		{"systemctl is-system-running", "running"},
		{"hostname; cat /etc/hostname", "m1\nm1"},
		{"cat /etc/resolv.conf; ip route show default; ip -6 route show default", ""},
		{"ip -4 -o address show eth0 | awk '{print $4}'", m.Addr().String() + "/24"},
		// what a kubelet and a container runtime need
		{"stat -f -c %T /var/lib", "ext2/ext3"},
		{"mkdir -p /var/lib/o/{a,b,w,m}; mount -t overlay -o lowerdir=/var/lib/o/a,upperdir=/var/lib/o/b,workdir=/var/lib/o/w o /var/lib/o/m && umount /var/lib/o/m", ""},
		{"grep -c ' / / .* shared:' /proc/self/mountinfo", "1"},
		{`for c in $(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts | sort -u); do mkdir $c/try && rmdir $c/try || echo bad $c; done`, ""},
		{`grep -v -e ':/$' -e ':/init.scope$' /proc/1/cgroup || true`, ""},
		{"echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward", "1"},
		{"test -c /dev/kmsg && dd if=/dev/kmsg of=/dev/null bs=8192 count=1 iflag=nonblock status=none", ""},
		{"touch /etc/hosts.new /etc/resolv.conf.new && mv /etc/hosts.new /etc/hosts && mv /etc/resolv.conf.new /etc/resolv.conf", ""},
		// what it must not have
		{"ls /usr/{,local/}{,s}bin | grep -E '^(nft|iptables|socat|conntrack|crictl|containerd|runc|kubelet|gardenadm|curl|wget|docker|podman)$'; true", ""},
	} {
		if got := must(t, ctx, m, check.line); got != check.want {
			t.Errorf("%s\ngot:  %s\nwant: %s", check.line, got, check.want)
		}
	}
	// The image has no nft: the host's own shows that the machine's kernel side takes tables.
	pid, err := exec.Command(engine.Name(), "inspect", "--format", "{{.State.Pid}}", run.Prefix+"-m1").Output()
	ok(t, err)
	out, err := exec.Command("nsenter", "-t", strings.TrimSpace(string(pid)), "-n", "sh", "-ec",
		"nft 'add table inet try; add chain inet try c { type nat hook output priority 0; }'; nft list ruleset").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "chain c") {
		t.Errorf("nf_tables in the machine: %v: %s", err, out)
	}
}

func TestExec(t *testing.T) {
	ctx, engine, run := start(t)
	m := boot(t, ctx, network(t, ctx, engine, run), "m1")
	out, err := m.Exec(ctx, "sh", "-c", "echo out; echo err >&2; exit 7")
	var failed *machine.CommandError
	if !errors.As(err, &failed) || failed.Code != 7 || out != (machine.Output{Stdout: "out\n", Stderr: "err\n", Code: 7}) {
		t.Errorf("got %+v, %v", out, err)
	}
	if err == nil || !strings.Contains(err.Error(), "err") {
		t.Errorf("the error does not carry the output: %v", err)
	}
	var echo strings.Builder
	ok(t, m.Stream(ctx, machine.IO{In: strings.NewReader("in"), Out: &echo}, "cat"))
	if echo.String() != "in" {
		t.Errorf("echoed %q", echo.String())
	}
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := m.Exec(short, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCopy(t *testing.T) {
	ctx, engine, run := start(t)
	m := boot(t, ctx, network(t, ctx, engine, run), "m1")
	from := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(from, "deep"), 0o700))
	ok(t, os.WriteFile(filepath.Join(from, "program"), []byte("#!/bin/sh\necho one\n"), 0o755))
	ok(t, os.WriteFile(filepath.Join(from, "deep", "big"), make([]byte, 300<<20), 0o640))
	ok(t, os.Symlink("deep/big", filepath.Join(from, "link")))

	ok(t, m.Copy(ctx, filepath.Join(from, "program"), "/opt/new dir/program"))
	if got := must(t, ctx, m, "'/opt/new dir/program'; stat -c %a-%U '/opt/new dir/program'"); got != "one\n755-root" {
		t.Errorf("got %q", got)
	}
	// A running program can be replaced.
	must(t, ctx, m, "cp /bin/sleep /opt/sleep; systemd-run -q /opt/sleep 1000")
	ok(t, m.Copy(ctx, filepath.Join(from, "program"), "/opt/sleep"))

	begin := time.Now()
	ok(t, m.Copy(ctx, from, "/srv/tree"))
	t.Logf("300 MB copied in %.1fs", time.Since(begin).Seconds())
	if got := must(t, ctx, m, "cd /srv/tree && stat -c '%n %s %a' deep deep/big program && readlink link"); !strings.Contains(got, "deep/big 314572800 640\nprogram 19 755\ndeep/big") {
		t.Errorf("got %q", got)
	}
	ok(t, m.WriteFile(ctx, "/etc/secret", []byte("x\x00y"), 0o600))
	data, err := m.ReadFile(ctx, "/etc/secret")
	if err != nil || string(data) != "x\x00y" {
		t.Errorf("read %q, %v", data, err)
	}
	if err := m.Copy(ctx, filepath.Join(from, "missing"), "/x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := m.ReadFile(ctx, "/missing"); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("got %v", err)
	}
}

func TestPower(t *testing.T) {
	ctx, engine, run := start(t)
	net := network(t, ctx, engine, run)
	m := boot(t, ctx, net, "m1")
	identity := must(t, ctx, m, "cat /etc/machine-id; ip link show eth0 | grep ether; ip -4 -o address show eth0")
	must(t, ctx, m, "echo root > /opt/file; echo var > /var/lib/file; systemd-cat echo before-the-cut; journalctl --sync")
	ok(t, m.Kill(ctx))
	ok(t, m.Kill(ctx)) // off is off
	if out, err := m.Exec(ctx, "true"); err == nil {
		t.Errorf("a machine without power answered: %v", out)
	}
	off := filepath.Join(t.TempDir(), "off")
	ok(t, m.Logs(ctx, off))
	if journals, _ := filepath.Glob(filepath.Join(off, "log/journal/*/system.journal")); len(journals) != 1 {
		t.Errorf("no journal saved of a machine without power")
	}
	begin := time.Now()
	ok(t, m.Start(ctx))
	t.Logf("started again in %.1fs", time.Since(begin).Seconds())
	if got := must(t, ctx, m, "cat /opt/file /var/lib/file; journalctl | grep -c before-the-cut"); got != "root\nvar\n1" {
		t.Errorf("after a power cut: %q", got)
	}
	after := must(t, ctx, m, "cat /etc/machine-id; ip link show eth0 | grep ether; ip -4 -o address show eth0")
	if strings.Fields(after)[0] != strings.Fields(identity)[0] || !strings.Contains(after, m.Addr().String()) ||
		strings.Split(after, "\n")[1] != strings.Split(identity, "\n")[1] {
		t.Errorf("identity before: %s\nafter: %s", identity, after)
	}
	must(t, ctx, m, "touch /run/lost")
	ok(t, m.Restart(ctx))
	must(t, ctx, m, "test ! -e /run/lost -a -e /opt/file")
	if again := boot(t, ctx, net, "m1"); again.Addr() != m.Addr() {
		t.Errorf("booted another machine: %s", again.Addr())
	}

	ok(t, m.Pause(ctx))
	if err := reach(m.Addr()); err != nil { // its kernel side still answers, its processes do not
		t.Errorf("reach a paused machine: %v", err)
	}
	if err := m.Logs(ctx, t.TempDir()); err != nil {
		t.Errorf("logs of a paused machine: %v", err)
	}
	ok(t, m.Unpause(ctx))
	must(t, ctx, m, "true")
	ok(t, m.Pause(ctx))
	ok(t, m.Kill(ctx))
	ok(t, m.Start(ctx))
	ok(t, m.Remove(ctx))
}

// reach dials the machine from the host; a refusal is an answer.
func reach(to netip.Addr) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(to.String(), "443"), time.Second)
	if err != nil && !strings.Contains(err.Error(), "refused") {
		return err
	}
	if err == nil {
		conn.Close()
	}
	return nil
}

func TestNetworkLeadsNowhere(t *testing.T) {
	ctx, engine, run := start(t)
	net := network(t, ctx, engine, run)
	m1, m2 := boot(t, ctx, net, "m1"), boot(t, ctx, net, "m2")
	if a, b := must(t, ctx, m1, "cat /etc/machine-id"), must(t, ctx, m2, "cat /etc/machine-id"); a == b {
		t.Errorf("two machines with one machine-id %s", a)
	}
	outside := []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("192.0.2.1"), hostAddress(t)}
	for _, to := range outside {
		if err := dial(ctx, m1, to); err == nil {
			t.Errorf("m1 reaches %s", to)
		}
	}
	if out, err := m1.Exec(ctx, "getent", "hosts", "deb.debian.org"); err == nil {
		t.Errorf("m1 resolves names of the outside: %s", out.Stdout)
	}
	for _, to := range []netip.Addr{m2.Addr(), net.Gateway()} {
		if err := dial(ctx, m1, to); err != nil {
			t.Errorf("m1 does not reach %s: %v", to, err)
		}
	}
	if err := reach(m1.Addr()); err != nil {
		t.Errorf("the host does not reach m1: %v", err)
	}
	assertLeft(t, ctx, net, func(n uint64) bool { return n == 0 }, "none of a quiet network")

	ok(t, m1.Disconnect(ctx))
	if dial(ctx, m1, m2.Addr()) == nil || dial(ctx, m2, m1.Addr()) == nil || reach(m1.Addr()) == nil {
		t.Error("m1 is connected without a cable")
	}
	must(t, ctx, m1, "ip -4 -o address show eth0 | grep "+m1.Addr().String())
	ok(t, m1.Connect(ctx))
	if err := dial(ctx, m2, m1.Addr()); err != nil {
		t.Errorf("m1 is not connected again: %v", err)
	}

	// A machine that tries harder does not get out either, and is caught.
	must(t, ctx, m1, "ip route add default via "+net.Gateway().String())
	last := uint64(0)
	for _, to := range outside {
		if err := dial(ctx, m1, to); err == nil {
			t.Errorf("m1 reaches %s over the host", to)
		}
		last = assertLeft(t, ctx, net, func(n uint64) bool { return n > last }, "more, after a dial to "+to.String())
	}
}

func assertLeft(t *testing.T, ctx context.Context, net *machine.Network, right func(uint64) bool, want string) uint64 {
	t.Helper()
	left, err := net.PacketsLeft(ctx)
	ok(t, err)
	if !right(left) {
		t.Errorf("%d packets left, wanted %s", left, want)
	}
	return left
}

// hostAddress is the host's address on a link that is no bridge of ours.
func hostAddress(t *testing.T) netip.Addr {
	t.Helper()
	conn, err := net.Dial("udp", "192.0.2.99:9") // sends nothing, only asks for the route
	if err != nil {
		t.Skip("the host has no default route")
	}
	defer conn.Close()
	return netip.MustParseAddrPort(conn.LocalAddr().String()).Addr()
}

func TestLogsLeaveSecretsBehind(t *testing.T) {
	ctx, engine, run := start(t)
	m := boot(t, ctx, network(t, ctx, engine, run), "m1")
	ok(t, m.WriteFile(ctx, "/etc/kubernetes/manifests/etcd.yaml", []byte(`spec:
  containers:
  - command: [etcd, --key-file=/pki/key, --initial-cluster-token=geheim]
    env:
    - name: PASSWORD
      value: geheim
    - {name: OTHER, value: geheim}
`), 0o600))
	must(t, ctx, m, "mkdir -p /var/log/pods/a; echo line > /var/log/pods/a/0.log; systemd-cat echo hello-journal; journalctl --sync")
	dir := t.TempDir()
	ok(t, m.Logs(ctx, dir))
	for file, want := range map[string]string{"journal.log": "hello-journal", "pods/a/0.log": "line", "processes.txt": "systemd",
		"network.txt": m.Addr().String(), "units.txt": "dbus.service", "manifests/etcd.yaml": "--key-file=/pki/key"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v, no %q in %s", file, err, want, data)
		}
		if strings.HasPrefix(file, "manifests") && strings.Contains(string(data), "geheim") {
			t.Errorf("%s has a secret:\n%s", file, data)
		}
	}
}
