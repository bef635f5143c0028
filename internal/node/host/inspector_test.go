package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListening(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123 1 0 100 0 0 10 0
   1: 0100007F:192B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 124 1 0 100 0 0 10 0
   2: 00000000000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 125 1
   3: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 126 1 0 100 0 0 10 0
   4: garbage
   5: zz00007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 127 1 0 100 0 0 10 0
`
	got := listening([]byte(table), "tcp", []int{6443})
	want := []socket{
		{Listener{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:6443")}, "123"},
		{Listener{Network: "tcp", Address: netip.MustParseAddrPort("[::1]:6443")}, "125"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := listening([]byte(table), "udp", []int{6443}); len(got) != 3 {
		t.Errorf("of UDP all sockets count, got %+v", got)
	}
}

func FuzzListening(f *testing.F) {
	f.Add([]byte("0: 0100007F:192B 00000000:0000 0A 0 0 0 0 0 123 1\n"))
	f.Add([]byte("0: 7F:192B 0:0 0A 0 0 0 0 0 123\n1: : : 0A 0 0 0 0 0 1\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, found := range listening(table, "tcp", []int{6443}) {
			if !found.Address.IsValid() || found.Address.Port() != 6443 {
				t.Errorf("got %+v", found)
			}
		}
	})
}

func TestListenersNamesItsOwner(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test ends
	address := netip.MustParseAddrPort(listener.Addr().String())
	found, err := inspector{}.Listeners(t.Context(), int(address.Port()))
	if err != nil || len(found) != 1 || found[0].Address != address || found[0].PID != os.Getpid() || found[0].Program == "" {
		t.Errorf("got %+v (%v), want this process on %s", found, err, address)
	}
}

// TestTriesLeaveNoTrace: this process is in the namespaces that it was in, and nothing of the tries is there.
func TestTriesLeaveNoTrace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	namespaces := func() string {
		var out string
		for _, name := range []string{"net", "mnt"} {
			target, err := os.Readlink(filepath.Join("/proc/self/ns", name))
			if err != nil {
				t.Fatal(err)
			}
			out += target
		}
		return out
	}
	before, dir := namespaces(), t.TempDir()
	for range 20 { // now and then one begins on the process's first thread
		for _, feature := range []Feature{FeatureNFTables, FeatureVeth, FeatureOverlay} {
			if err := (inspector{}).Try(t.Context(), feature, dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := namespaces(); after != before {
		t.Errorf("the process was in %s and is in %s", before, after)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("something is mounted below %s (%v)", dir, err)
	}
	if _, err := net.InterfaceByName("gardenadm-try"); err == nil {
		t.Error("a link is left")
	}
	if tables := nftTables(t); strings.Contains(tables, "gardenadm-try") {
		t.Errorf("a table is left: %q", tables)
	}
}

func TestTryRemovesWhatAKilledOneLeft(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	gone, mine := filepath.Join(dir, tryPrefix+"4194999-1"), filepath.Join(dir, fmt.Sprintf("%s%d-1", tryPrefix, os.Getpid())) // a number above the kernel's largest
	if err := errors.Join(os.MkdirAll(gone+"/work", 0o700), os.Mkdir(mine, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := (inspector{}).Try(t.Context(), FeatureOverlay, dir); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, TempPrefix+"*")); err != nil || !slices.Equal(left, []string{mine}) {
		t.Errorf("%q is left (%v), want %s, whose process lives, alone", left, err, mine)
	}
}

// nftTables is the kernel's raw list of tables in this process's network namespace; a name is in it as it is.
func nftTables(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // the test ends
	ask := nftMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, nil)
	if err := unix.Sendto(fd, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<20)
	n, _, err := unix.Recvfrom(fd, buffer, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

func TestTrialsEndWithTheirContext(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	hang := make(chan struct{})
	defer close(hang)
	err := isolated(ctx, func() error { <-hang; return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
