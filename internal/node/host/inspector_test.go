package host

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
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

// TestTriesLeaveNoTrace: neither this process's namespaces nor its links are others afterwards.
func TestTriesLeaveNoTrace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	look := func() []string {
		out := []string{}
		for _, name := range []string{"net", "mnt"} {
			target, err := os.Readlink(filepath.Join("/proc/self/ns", name))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, target)
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		links, linkErr := net.Interfaces()
		if err != nil || linkErr != nil {
			t.Fatal(err, linkErr)
		}
		for _, link := range links {
			out = append(out, link.Name)
		}
		return append(out, string(mounts))
	}
	before := look()
	for range 20 { // now and then one begins on the process's first thread
		for _, feature := range []Feature{FeatureNFTables, FeatureBridge, FeatureOverlay} {
			if err := (inspector{}).Try(t.Context(), feature, t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := look(); !slices.Equal(after, before) {
		t.Errorf("before %q, after %q", before, after)
	}
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
