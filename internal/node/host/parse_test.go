package host

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestImageNames(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	other := "sha256:" + strings.Repeat("cd", 32)
	for name, want := range map[string][]string{
		"busybox":                               {"docker.io/library/busybox:latest"},
		"registry.k8s.io/pause:3.10":            {"registry.k8s.io/pause:3.10"},
		"localhost:5000/a/b@" + digest:          {"localhost:5000/a/b@" + digest},
		"registry.k8s.io/pause:3.10@" + digest:  {"registry.k8s.io/pause@" + digest, "registry.k8s.io/pause:3.10"},
		"registry.k8s.io/pause@" + other:        nil,
		"registry.k8s.io/pause:3.10@" + other:   nil,
		"registry.k8s.io/Upper:1":               nil,
		"":                                      nil,
		"registry.k8s.io/pause@sha256:tooshort": nil,
	} {
		got, err := ImageNames(name, digest)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestNameservers(t *testing.T) {
	content := "# nameserver 192.0.2.9\nsearch example.org\n  nameserver\t192.0.2.1 # first\nnameserver nonsense\nnameserver\nnameserver fe80::1%eth0\nnameserver ::1"
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::1")}
	if got := nameservers([]byte(content)); !slices.Equal(got, want) {
		t.Errorf("nameservers are %v, want %v", got, want)
	}
	if got, err := nameserversOf(filepath.Join(t.TempDir(), "missing")); err != nil || got != nil {
		t.Errorf("of a missing file: %v, %v", got, err)
	}
}

func FuzzNameservers(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\r\nnameserver fe80::1%1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if found := nameservers(content); len(found) > strings.Count(string(content), "nameserver") {
			t.Errorf("more nameservers than lines: %v", found)
		}
	})
}

func TestMountPoints(t *testing.T) {
	table := "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n" +
		"37 35 0:5 / /var/lib/with\\040space\\134 rw - tmpfs tmpfs rw," + strings.Repeat("x", 100_000) + "\nshort\n"
	want := []string{"/mnt2", `/var/lib/with space\`}
	if got := mountPoints([]byte(table)); !reflect.DeepEqual(got, want) {
		t.Errorf("mount points are %q, want %q", got, want)
	}
}

func FuzzMountPoints(f *testing.F) {
	f.Add([]byte("36 35 98:0 / /a\\040b rw - ext3 /dev/root rw\n"))
	f.Add([]byte(`1 2 3 4 \0\04\999\`))
	f.Fuzz(func(_ *testing.T, table []byte) { mountPoints(table) })
}

func TestLowersOOMScore(t *testing.T) {
	for _, score := range []string{"0\n", "500\n", "-5\n", "-1000\n"} {
		path := filepath.Join(t.TempDir(), "oom_score_adj")
		if err := os.WriteFile(path, []byte(score), 0o644); err != nil {
			t.Fatal(err)
		}
		lowers, err := lowersOOMScore(path)
		after, readErr := os.ReadFile(path)
		if !lowers || err != nil || readErr != nil || strings.TrimSpace(string(after)) != strings.TrimSpace(score) {
			t.Errorf("score %q: %v, %v, and %q after it (%v)", score, lowers, err, after, readErr)
		}
	}
}

func TestPhysical(t *testing.T) {
	attributes := func(change func(*netlink.LinkAttrs)) netlink.LinkAttrs {
		made := netlink.NewLinkAttrs()
		change(&made)
		return made
	}
	here := attributes(func(*netlink.LinkAttrs) {})
	outside := attributes(func(a *netlink.LinkAttrs) { a.NetNsID = 0 })
	for _, test := range []struct {
		name   string
		link   netlink.Link
		prefix string
		want   bool
	}{
		{"card", &netlink.Device{LinkAttrs: here}, "192.0.2.1/24", true},
		{"card of a cloud", &netlink.Device{LinkAttrs: here}, "192.0.2.1/32", true},
		{"loopback", &netlink.Device{LinkAttrs: attributes(func(a *netlink.LinkAttrs) { a.Flags = net.FlagLoopback })}, "127.0.0.1/8", false},
		{"bond", &netlink.Bond{LinkAttrs: here}, "192.0.2.1/24", true},
		{"vlan", &netlink.Vlan{LinkAttrs: here}, "192.0.2.1/24", true},
		{"bridge", &netlink.Bridge{LinkAttrs: here}, "192.0.2.1/24", false},
		{"vxlan", &netlink.Vxlan{LinkAttrs: here}, "192.0.2.1/24", false},
		{"dummy", &netlink.Dummy{LinkAttrs: here}, "192.0.2.1/24", false},
		{"wireguard", &netlink.Wireguard{LinkAttrs: here}, "192.0.2.1/24", false},
		{"tun", &netlink.Tuntap{LinkAttrs: here}, "192.0.2.1/24", false},
		{"machine container's card", &netlink.Veth{LinkAttrs: outside}, "192.0.2.1/24", true},
		{"veth within the machine", &netlink.Veth{LinkAttrs: here}, "192.0.2.1/24", false},
		{"node's end of a routed pod", &netlink.Veth{LinkAttrs: outside}, "10.0.0.1/32", false},
		{"node's end of a bridged pod", &netlink.Veth{LinkAttrs: attributes(func(a *netlink.LinkAttrs) { a.NetNsID, a.MasterIndex = 0, 7 })}, "fe80::1/64", false},
	} {
		if got := physical(test.link, netip.MustParsePrefix(test.prefix)); got != test.want {
			t.Errorf("%s: physical is %v", test.name, got)
		}
	}
}
