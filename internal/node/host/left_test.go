package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// makeTable makes, in one transaction, a table with a chain that sees all packets that this machine sends, and rules that only count.
func makeTable(t *testing.T, rules int) {
	t.Helper()
	const subsystem, create = unix.NFNL_SUBSYS_NFTABLES << 8, unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_APPEND | unix.NLM_F_ACK
	name := []byte("gardenadm-try\x00")
	number := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	hook := append(attribute(unix.NFTA_HOOK_HOOKNUM, number(unix.NF_INET_LOCAL_OUT)), attribute(unix.NFTA_HOOK_PRIORITY, number(0))...)
	counter := attribute(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, attribute(unix.NFTA_EXPR_NAME, []byte("counter\x00")))
	messages := [][]byte{
		nftMessage(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil),
		nftMessage(subsystem|unix.NFT_MSG_NEWTABLE, create, unix.NFPROTO_IPV4, attribute(unix.NFTA_TABLE_NAME, name)),
		nftMessage(subsystem|unix.NFT_MSG_NEWCHAIN, create, unix.NFPROTO_IPV4, bytes.Join([][]byte{
			attribute(unix.NFTA_CHAIN_TABLE, name), attribute(unix.NFTA_CHAIN_NAME, name),
			attribute(unix.NFTA_CHAIN_HOOK|unix.NLA_F_NESTED, hook), attribute(unix.NFTA_CHAIN_TYPE, []byte("filter\x00")),
		}, nil)),
	}
	for range rules {
		messages = append(messages, nftMessage(subsystem|unix.NFT_MSG_NEWRULE, create, unix.NFPROTO_IPV4, bytes.Join([][]byte{
			attribute(unix.NFTA_RULE_TABLE, name), attribute(unix.NFTA_RULE_CHAIN, name),
			attribute(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, counter),
		}, nil)))
	}
	messages = append(messages, nftMessage(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.NFPROTO_UNSPEC, nil))
	if err := transact(bytes.Join(messages, nil), 2+rules); err != nil {
		t.Error(err)
	}
}

func TestTables(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	err := isolated(t.Context(), func() error {
		ctx, door := t.Context(), tables{}
		list := func() []Table {
			found, err := door.List(ctx)
			if err != nil {
				t.Error(err)
			}
			return found
		}
		if found := list(); len(found) > 0 {
			t.Errorf("a new network namespace has %+v", found)
		}
		makeTable(t, 2)
		first := list()
		if len(first) != 1 || first[0].Family != "ip" || first[0].Name != "gardenadm-try" || first[0].Rules != 2 ||
			!slices.Equal(first[0].Chains, []string{"gardenadm-try"}) {
			t.Fatalf("tables are %+v", first)
		}
		if err := count(ctx); err != nil {
			return err
		}
		if again := list(); !reflect.DeepEqual(again, first) {
			t.Errorf("after packets were counted, tables are %+v, were %+v", again, first)
		}
		// The same table, made again, has other handles; one with another rule is another one.
		for rules, same := range map[int]bool{2: true, 3: false} {
			for range 2 {
				if err := door.Delete(ctx, "ip", "gardenadm-try"); err != nil {
					t.Error(err)
				}
			}
			if found := list(); len(found) > 0 {
				t.Errorf("deleted, tables are %+v", found)
			}
			makeTable(t, rules)
			if found := list(); len(found) != 1 || found[0].Rules != rules || (found[0].SHA256 == first[0].SHA256) != same {
				t.Errorf("made again with %d rules, tables are %+v, were %+v", rules, found, first)
			}
		}
		if err := door.Delete(ctx, "ipx", "x"); err == nil {
			t.Error("there is no such family")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// count sends a packet, which the chain counts whether or not somebody answers.
func count(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput()
	if err != nil {
		return errors.New(string(out))
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket) //nolint:errcheck // it is a test's
	return unix.Sendto(socket, []byte("x"), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})
}

// A mount that is in use is detached; its user goes on.
func TestUnmountWhatIsInUse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	err := isolated(t.Context(), func() error {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		user, err := os.Create(filepath.Join(dir, "used"))
		if err != nil {
			return err
		}
		defer user.Close() //nolint:errcheck // it is a test's
		if err := (mounts{}).Unmount(t.Context(), dir); err != nil {
			return err
		}
		_, err = user.WriteString("still there")
		if below, _ := filepath.Glob(filepath.Join(dir, "*")); len(below) > 0 {
			t.Errorf("%q is still to be seen", below)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRemoveCgroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	roots, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	const name = "/gardenadm-test"
	sleep := exec.Command("/bin/sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleep.Wait() }()
	t.Cleanup(func() { _ = sleep.Process.Kill() })
	made := 0
	for _, root := range roots {
		if err := os.MkdirAll(filepath.Join(root, name, "pod/container"), 0o755); err != nil {
			continue // a hierarchy that is not ours to use
		}
		made++
		t.Cleanup(func() {
			for _, dir := range []string{"/pod/container", "/pod", ""} {
				_ = unix.Rmdir(filepath.Join(root, name+dir))
			}
		})
		// Not all hierarchies take processes: cpuset has none to run on yet.
		_ = os.WriteFile(filepath.Join(root, name, "pod/container/cgroup.procs"), []byte(strconv.Itoa(sleep.Process.Pid)), 0o644)
	}
	if made == 0 {
		t.Skip("no cgroup can be made here")
	}
	found, err := (processes{}).Cgroups(t.Context(), "gardenadm-te")
	if err != nil || !slices.Equal(found, []string{name}) {
		t.Errorf("cgroups are %q (%v)", found, err)
	}
	for range 2 {
		if err := (processes{}).RemoveCgroup(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := (processes{}).Cgroups(t.Context(), "gardenadm-test"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the process in it lives on")
	}
}

func TestParseOfProc(t *testing.T) {
	const stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1"
	if started, ok := startTime([]byte(stat)); !ok || started != 123456 {
		t.Errorf("it started at %d (%v)", started, ok)
	}
	for content, want := range map[string]string{
		"0::/system.slice/x.service\n":                            "/system.slice/x.service",
		"12:pids:/a\n1:name=systemd:/system.slice/x\n0::/\n":      "/system.slice/x",
		"0::/kubepods.slice/cri-containerd-1.scope:with:colons\n": "/kubepods.slice/cri-containerd-1.scope:with:colons",
		"": "",
	} {
		if got := systemdCgroup([]byte(content)); got != want {
			t.Errorf("cgroup of %q is %q, want %q", content, got, want)
		}
	}
	const table = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:25 / /run/a\040b rw master:2 propagate_from:1 - tmpfs tmp\040fs rw
31 22 0:4 net:[4026532000] /run/netns/cni-1 rw - nsfs nsfs rw
not a line
32 22 0:4 / /cut rw
`
	want := []Mount{{"/", "ext4", "/dev/root"}, {"/run/a b", "tmpfs", "tmp fs"}, {"/run/netns/cni-1", "nsfs", "nsfs"}}
	if got := mountTable([]byte(table)); !slices.Equal(got, want) {
		t.Errorf("mounts are %+v, want %+v", got, want)
	}
}

func FuzzProc(f *testing.F) {
	f.Add([]byte("42 (a) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1"))
	f.Add([]byte("31 22 0:4 net:[4026532000] /run/netns/cni\\0401 rw - nsfs nsfs rw"))
	f.Add([]byte("1:name=systemd:/system.slice/x\n0::/\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		startTime(content)
		systemdCgroup(content)
		for _, mount := range mountTable(content) {
			if mount.Type == "" || mount.Path == "" {
				t.Errorf("a mount without a path or type: %+v", mount)
			}
		}
		if parsed, err := parseAttributes(content); err == nil {
			parsed.text(1)
		}
		_ = digestExpressions(io.Discard, content)
	})
}

// TestSettings: reading all of them changes nothing and takes no special right.
func TestSettings(t *testing.T) {
	settings, err := kernel{}.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(settings) < 100 && runtime.GOOS == "linux" {
		t.Errorf("only %d settings are found", len(settings))
	}
	for setting, value := range settings {
		if len(value) > mostSetting || setting == "vm/drop_caches" {
			t.Errorf("%s has %d bytes", setting, len(value))
		}
	}
}
