package offer_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/offer"
)

func prefixes(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }

func site() offer.Offer {
	return offer.Offer{
		Pods: prefixes("100.96.0.0/11"), Services: prefixes("100.64.0.0/13"), Nodes: prefixes("192.0.2.0/24"),
		Pools: []offer.Pool{
			{Name: "control-plane", Secret: "gardener-node-agent-control-plane", ControlPlane: true},
			{Name: "small", Secret: "gardener-node-agent-small", Zones: []string{"a", "b"}},
			{Name: "big", Secret: "gardener-node-agent-big", SwapAllowed: true, Architecture: "arm64"},
		},
	}
}

func TestEncode(t *testing.T) {
	raw, err := site().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := offer.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(site(), got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

func TestPool(t *testing.T) {
	for name, test := range map[string]struct {
		ask   string
		drop  bool // the pools of workers
		want  string
		fault fault.Code
	}{
		"the first of workers":  {"", false, "small", ""},
		"by name":               {"big", false, "big", ""},
		"unknown":               {"nowhere", false, "control-plane, small, big", fault.NoSuchPool},
		"of the control plane":  {"control-plane", false, "runs the control plane", fault.ControlPlanePool},
		"none there for anyone": {"", true, "only control-plane", fault.NoSuchPool},
	} {
		t.Run(name, func(t *testing.T) {
			given := site()
			if test.drop {
				given.Pools = given.Pools[:1]
			}
			got, err := given.Pool(test.ask)
			if test.fault == "" {
				if err != nil || got.Name != test.want {
					t.Errorf("got %s, %v", got.Name, err)
				}
				return
			}
			found := fault.Of(err)
			if len(found) == 0 || found[0].Code != test.fault || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s with %q", err, test.fault, test.want)
			}
		})
	}
}

func TestCheckZone(t *testing.T) {
	small, big := site().Pools[1], site().Pools[2]
	if zone, err := small.CheckZone("b"); zone != "b" || err != nil {
		t.Errorf("a zone of the pool: %s, %v", zone, err)
	}
	for _, one := range []struct {
		pool offer.Pool
		zone string
	}{{small, ""}, {small, "c"}, {big, "a"}} {
		if _, err := one.pool.CheckZone(one.zone); len(fault.Of(err)) == 0 {
			t.Errorf("zone %q of pool %s: %v, want a fault", one.zone, one.pool.Name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*offer.Offer){
		"no networks":       func(o *offer.Offer) { o.Pods = nil },
		"no pools":          func(o *offer.Offer) { o.Pools = nil },
		"two of a name":     func(o *offer.Offer) { o.Pools[1].Name = o.Pools[2].Name },
		"no name":           func(o *offer.Offer) { o.Pools[1].Name = "" },
		"path for a secret": func(o *offer.Offer) { o.Pools[1].Secret = "../admin" },
	} {
		t.Run(name, func(t *testing.T) {
			given := site()
			given.Pools = slices.Clone(given.Pools)
			spoil(&given)
			raw, err := json.Marshal(given)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := offer.Decode(raw); err == nil {
				t.Error("it was read")
			}
			if _, err := given.Encode(); err == nil {
				t.Error("it was written")
			}
		})
	}
	if _, err := offer.Decode([]byte(strings.Repeat(" ", 300<<10) + "{}")); err == nil {
		t.Error("one that is too long was read")
	}
}

func FuzzDecode(f *testing.F) {
	raw, err := site().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := offer.Decode(raw)
		if err != nil {
			return
		}
		if _, err := got.Encode(); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
