package preflight_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
)

func good() host.Facts {
	return host.Facts{HostName: "cp-1", Architecture: "amd64", Kernel: "6.1.0-35-amd64", Systemd: true, Root: true}
}

func TestAll(t *testing.T) {
	if err := preflight.All(good()); err != nil {
		t.Fatalf("a good machine is refused: %v", err)
	}
	for want, change := range map[string]func(*host.Facts){
		"root: ":                       func(f *host.Facts) { f.Root = false },
		"systemd: ":                    func(f *host.Facts) { f.Systemd = false },
		"architecture: riscv64":        func(f *host.Facts) { f.Architecture = "riscv64" },
		"kernel: release 5.10.0":       func(f *host.Facts) { f.Kernel = "5.10.0-1" },
		`kernel: kernel release "x"`:   func(f *host.Facts) { f.Kernel = "x" },
		`host-name: the host name is`:  func(f *host.Facts) { f.HostName = "localhost" },
		`host-name: the host name "a_`: func(f *host.Facts) { f.HostName = "a_b" },
	} {
		facts := good()
		change(&facts)
		if err := preflight.All(facts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	bad := good()
	bad.Root, bad.Systemd = false, false
	if err := preflight.All(bad); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("all failures must be reported together, got %v", err)
	}
}

func TestChooseNodeAddress(t *testing.T) {
	at := func(link, prefix string, physical bool) host.Address {
		return host.Address{Link: link, Prefix: netip.MustParsePrefix(prefix), Physical: physical, Up: true}
	}
	lo := at("lo", "127.0.0.1/8", false)
	eth0, eth1 := at("eth0", "10.0.0.5/24", true), at("eth1", "192.168.1.5/24", true)
	docker := at("docker0", "172.17.0.1/16", false)
	six := at("eth0", "fd00::5/64", true)
	local := at("eth0", "169.254.3.4/16", true)
	down := eth1
	down.Up = false
	none := netip.Addr{}
	for name, c := range map[string]struct {
		addresses     []host.Address
		source, asked netip.Addr
		want          string // address, or part of the error
	}{
		"asked for":                   {[]host.Address{lo, eth0, eth1}, eth0.Prefix.Addr(), eth1.Prefix.Addr(), "192.168.1.5"},
		"asked for, not there":        {[]host.Address{lo, eth0}, none, netip.MustParseAddr("1.2.3.4"), "1.2.3.4 is on none"},
		"asked for loopback":          {[]host.Address{lo, eth0}, none, lo.Prefix.Addr(), "127.0.0.1 is on none"},
		"default route":               {[]host.Address{lo, eth0, eth1}, eth1.Prefix.Addr(), none, "192.168.1.5"},
		"only physical":               {[]host.Address{lo, docker, six, local, eth0}, none, none, "10.0.0.5"},
		"the other link is down":      {[]host.Address{lo, down, eth0}, none, none, "10.0.0.5"},
		"two without default route":   {[]host.Address{lo, eth0, eth1}, none, none, "10.0.0.5/24 (eth0, physical link) 192.168.1.5/24 (eth1, physical link)"},
		"none":                        {[]host.Address{lo, six}, none, none, "no link that is up has a global IPv4"},
		"default route over a bridge": {[]host.Address{lo, docker, eth0}, docker.Prefix.Addr(), none, "172.17.0.1"},
	} {
		got, err := preflight.ChooseNodeAddress(c.addresses, c.source, c.asked)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
			continue
		}
		if got.IP().String() != c.want || got.Why == "" {
			t.Errorf("%s: got %s (%s), want %s", name, got.IP(), got.Why, c.want)
		}
	}
}
