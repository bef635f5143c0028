package nodenetwork_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gardenadm/gardenadm/internal/daemon/nodenetwork"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func services(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func addressOn(link, prefix string, up bool) host.Address {
	return host.Address{Link: link, Prefix: netip.MustParsePrefix(prefix), Physical: true, Up: up}
}

// identified returns a machine whose identity file holds the content, "" for none.
func identified(t *testing.T, identity string) *hosttest.Fake {
	t.Helper()
	fake := hosttest.New()
	if identity != "" {
		if err := fake.Host().Files.Write(t.Context(), layout.FileNode, strings.NewReader(identity), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fake.ClearLog()
	return fake
}

// proxyAddress is the change that comes before all others.
const proxyAddress = "address 240.0.74.43/32 dev lo"

// loopback is the link that every machine has.
func loopback() host.Address {
	return host.Address{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8"), Up: true}
}

const identity = `{"name":"machine-0","addresses":["10.0.0.5"]}`

func TestRoutesGoOverTheLinkOfTheNodesAddress(t *testing.T) {
	fake := identified(t, identity)
	// The default route is another link's: it says nothing about the node's address.
	fake.SetNetwork([]host.Address{loopback(), addressOn("eth0", "192.0.2.10/24", true), addressOn("eth1", "10.0.0.5/16", true)}, netip.MustParseAddr("192.0.2.10"))
	for range 2 { // at every boot
		if err := nodenetwork.Run(t.Context(), fake.Host(), services("100.64.0.0/13", "100.80.0.0/16")); err != nil {
			t.Fatal(err)
		}
	}
	once := []string{proxyAddress, "route 100.64.0.0/13 dev eth1 src 10.0.0.5", "route 100.80.0.0/16 dev eth1 src 10.0.0.5"}
	if got := fake.Log(); !slices.Equal(got, slices.Concat(once, once)) {
		t.Errorf("changes are %q", got)
	}
}

func TestRunWaitsForTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := identified(t, identity)
		fake.SetNetwork([]host.Address{loopback(), addressOn("eth1", "10.0.0.5/16", false)}, netip.Addr{}) // there, but the link is down
		done := make(chan error, 1)
		go func() { done <- nodenetwork.Run(t.Context(), fake.Host(), services("100.64.0.0/13")) }()
		synctest.Wait()
		if log := fake.Log(); !slices.Equal(log, []string{proxyAddress}) {
			t.Errorf("before the node has its address, changes are %q", log)
		}
		fake.SetNetwork([]host.Address{loopback(), addressOn("eth1", "10.0.0.5/16", true)}, netip.Addr{})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := fake.Log(); !slices.Equal(got, []string{proxyAddress, "route 100.64.0.0/13 dev eth1 src 10.0.0.5"}) {
			t.Errorf("changes are %q", got)
		}
	})
}

func TestRunSaysWhatIsMissing(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		identity string
		fail     string
		want     string
	}{
		"no identity":           {"", "", "read the node's identity: read " + layout.FileNode},
		"identity is no JSON":   {"{", "", "read the node's identity: " + layout.FileNode + " holds no address"},
		"identity has none":     {`{"name":"machine-0"}`, "", layout.FileNode + " holds no address"},
		"identity has nonsense": {`{"addresses":["x"]}`, "", layout.FileNode + " holds no address"},
		"no link has it":        {identity, "", "find the link of the node's address 10.0.0.5: no link that is up has it"},
		"addresses unknown":     {identity, "addresses", "list addresses: addresses: boom"},
		"route is refused":      {`{"addresses":["192.0.2.10"]}`, "route", "route 100.64.0.0/13 over eth0: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := identified(t, c.identity)
				if c.fail != "" {
					fake.FailOn(c.fail, boom)
				}
				began := time.Now()
				err := nodenetwork.Run(t.Context(), fake.Host(), services("100.64.0.0/13"))
				if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, flow.ErrTimeout) {
					t.Errorf("got %v, want a timeout with %q", err, c.want)
				}
				if time.Since(began) > 2*time.Minute {
					t.Error("systemd would wait for more than two minutes")
				}
				if log := fake.Log(); !slices.Equal(log, []string{proxyAddress}) {
					t.Errorf("changes are %q", log)
				}
			})
		})
	}
}

func TestRunWaitsForNameserversOnAHostThatHadSome(t *testing.T) {
	for name, c := range map[string]struct {
		had, come bool
		want      time.Duration
	}{
		"they come late":        {had: true, come: true, want: 3 * time.Second},
		"they do not come":      {had: true, want: 10 * time.Second},
		"there were none":       {want: 0},
		"they are new and late": {come: true, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := identified(t, identity)
				fake.SetNetwork([]host.Address{loopback(), addressOn("eth1", "10.0.0.5/16", true)}, netip.Addr{})
				fake.SetFacts(host.Facts{Nameservers: []netip.Addr{netip.MustParseAddr("127.0.0.53")}}) // of a stub that knows none yet
				if !c.had {
					if err := fake.Host().Files.Write(t.Context(), dropin.FileResolvConf, strings.NewReader("nameserver 127.0.0.1\n"), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if c.come {
					time.AfterFunc(3*time.Second-time.Millisecond, func() {
						fake.SetFacts(host.Facts{Nameservers: []netip.Addr{netip.MustParseAddr("127.0.0.53")}, SystemdResolvConf: true})
					})
				}
				began := time.Now()
				if err := nodenetwork.Run(t.Context(), fake.Host(), services("100.64.0.0/13")); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(began); got != c.want {
					t.Errorf("waited %s, want %s", got, c.want)
				}
			})
		})
	}
}
