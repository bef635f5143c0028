package endpoint_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

const good = `{"generation":1,"sequence":7,"servers":[{"node":"b","addresses":["10.0.0.2:6443","[fd00::2]:6443"],"draining":true},{"node":"a","addresses":["10.0.0.1:6443"]}]}`

func server(node string, addresses ...string) endpoint.Server {
	out := endpoint.Server{Node: node}
	for _, address := range addresses {
		out.Addresses = append(out.Addresses, netip.MustParseAddrPort(address))
	}
	return out
}

func list(generation, sequence int64, servers ...endpoint.Server) endpoint.List {
	return endpoint.List{Generation: generation, Sequence: sequence, Servers: servers}
}

func TestDecode(t *testing.T) {
	got, err := endpoint.Decode([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	leaving := server("b", "10.0.0.2:6443", "[fd00::2]:6443")
	leaving.Draining = true
	if diff := cmp.Diff(list(1, 7, server("a", "10.0.0.1:6443"), leaving), got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	one := `"servers":[{"node":"a","addresses":["10.0.0.1:6443"]}]`
	for name, tc := range map[string]struct{ raw, want string }{
		"nothing":           {``, "unexpected end"},
		"another document":  {`{"generation":1,"sequence":1,` + one + `}{}`, "after top-level value"},
		"unknown field":     {`{"generation":1,"sequence":1,` + one + `,"ttl":1}`, `unknown field "ttl"`},
		"repeated field":    {`{"generation":1,"sequence":1,"sequence":2,` + one + `}`, `duplicate field "sequence"`},
		"other case":        {`{"Generation":1,"sequence":1,` + one + `}`, `unknown field "Generation"`},
		"no servers":        {`{"generation":1,"sequence":1,"servers":[]}`, "servers: Required"},
		"no generation":     {`{"sequence":1,` + one + `}`, "generation: Invalid"},
		"no sequence":       {`{"generation":1,` + one + `}`, "sequence: Invalid"},
		"huge sequence":     {`{"generation":1,"sequence":1e30,` + one + `}`, "sequence"},
		"no address":        {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":[]}]}`, "servers[0].addresses: Required"},
		"a name":            {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["api:6443"]}]}`, "ParseAddr"},
		"no port":           {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["10.0.0.1:0"]}]}`, "addresses[0]: Invalid"},
		"empty address":     {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":[""]}]}`, "addresses[0]: Invalid"},
		"unspecified":       {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["0.0.0.0:6443"]}]}`, "addresses[0]: Invalid"},
		"multicast":         {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["224.0.0.1:6443"]}]}`, "addresses[0]: Invalid"},
		"with a zone":       {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["[fe80::1%eth0]:6443"]}]}`, "addresses[0]: Invalid"},
		"IPv4 as IPv6":      {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["[::ffff:10.0.0.1]:6443"]}]}`, "addresses[0]: Invalid"},
		"odd node":          {`{"generation":1,"sequence":1,"servers":[{"node":"A b","addresses":["10.0.0.1:6443"]}]}`, "servers[0].node: Invalid"},
		"one node twice":    {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["10.0.0.1:1"]},{"node":"a","addresses":["10.0.0.1:2"]}]}`, "servers[1].node: Duplicate"},
		"one address twice": {`{"generation":1,"sequence":1,"servers":[{"node":"a","addresses":["10.0.0.1:1"]},{"node":"b","addresses":["10.0.0.1:1"]}]}`, "servers[1].addresses[0]: Duplicate"},
		"too long":          {`{"generation":1,"sequence":1,` + one + `}` + strings.Repeat(" ", 64<<10), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := endpoint.Decode([]byte(tc.raw)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tc.want)
			}
		})
	}
}

func TestEncodeIsCanonical(t *testing.T) {
	a, b := server("a", "10.0.0.1:6443"), server("b", "10.0.0.2:6443")
	unordered := list(1, 1, b, a)
	left, err := unordered.Encode()
	if err != nil {
		t.Fatal(err)
	}
	right, err := list(1, 1, a, b).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(left, right) {
		t.Errorf("equal lists are not equal bytes:\n%s\n%s", left, right)
	}
	if unordered.Servers[0].Node != "b" {
		t.Error("Encode changed its receiver")
	}
	if _, err := list(1, 1).Encode(); err == nil {
		t.Error("a list without servers was written")
	}
}

func TestCompare(t *testing.T) {
	for _, tc := range []struct {
		left, right endpoint.List
		want        int
	}{
		{list(1, 1), list(1, 1), 0},
		{list(1, 2), list(1, 1), 1},
		{list(2, 1), list(1, 9), 1},
		{list(1, 9), list(2, 1), -1},
	} {
		if got := tc.left.Compare(tc.right); got != tc.want {
			t.Errorf("%d.%d against %d.%d: got %d", tc.left.Generation, tc.left.Sequence, tc.right.Generation, tc.right.Sequence, got)
		}
	}
}

func addresses(k endpoint.Known) []string {
	var out []string
	for _, retired := range k.Retired {
		out = append(out, retired.Address.String())
	}
	return out
}

func TestNextRemembersWhoLeft(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a, b, c := server("a", "10.0.0.1:6443"), server("b", "10.0.0.2:6443"), server("c", "10.0.0.3:6443")

	known := endpoint.Known{}.Next(list(1, 1, a, b), day)
	if len(known.Retired) != 0 {
		t.Fatalf("nothing left yet: %v", known.Retired)
	}
	known = known.Next(list(1, 2, b, c), day)
	known = known.Next(list(1, 3, c), day.AddDate(0, 0, 1))
	if diff := cmp.Diff([]string{"10.0.0.2:6443", "10.0.0.1:6443"}, addresses(known)); diff != "" {
		t.Error(diff)
	}
	if back := known.Next(list(2, 1, a, c), day.AddDate(0, 0, 2)); !cmp.Equal(addresses(back), []string{"10.0.0.2:6443"}) {
		t.Errorf("who is back is not retired: %v", back.Retired)
	}
	if late := known.Next(list(1, 4, c), day.AddDate(0, 0, 31)); !cmp.Equal(addresses(late), []string{"10.0.0.2:6443"}) {
		t.Errorf("after 30 days an address is forgotten: %v", late.Retired)
	}

	raw, err := known.Encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := endpoint.DecodeKnown(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(known, read, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
}

func TestNextIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var known endpoint.Known
	for i := range byte(100) {
		known = known.Next(list(1, int64(i)+1, endpoint.Server{Node: "a", Addresses: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 6443)}}), now)
	}
	if _, err := known.Encode(); err != nil {
		t.Error(err)
	}
	if len(known.Retired) != 16 || known.Retired[0].Address.String() != "10.0.0.98:6443" {
		t.Errorf("want the 16 latest: %v", addresses(known))
	}
}

// FuzzDecode: what is accepted is valid, and the same after it was written and read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"generation":1,"sequence":1,"servers":[]}`))
	f.Add([]byte(`{"generation":9223372036854775807,"sequence":1,"servers":[{"node":"a","addresses":["[::1]:1"]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err := endpoint.Decode(raw)
		if err != nil {
			return
		}
		written, err := first.Encode()
		if err != nil {
			t.Fatalf("accepted but not written: %v", err)
		}
		second, err := endpoint.Decode(written)
		if err != nil {
			t.Fatalf("written but not accepted: %v", err)
		}
		if !cmp.Equal(first, second, cmpopts.EquateComparable(netip.AddrPort{})) {
			t.Fatalf("%v became %v", first, second)
		}
	})
}

// FuzzDecodeKnown: as FuzzDecode, for the file of a node.
func FuzzDecodeKnown(f *testing.F) {
	f.Add([]byte(`{"list":` + good + `,"retired":[{"node":"c","address":"10.0.0.3:6443","since":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"list":` + good + `}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		first, err := endpoint.DecodeKnown(raw)
		if err != nil {
			return
		}
		written, err := first.Encode()
		if err != nil {
			t.Fatalf("accepted but not written: %v", err)
		}
		second, err := endpoint.DecodeKnown(written)
		if err != nil {
			t.Fatalf("written but not accepted: %v", err)
		}
		if !cmp.Equal(first, second, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()) {
			t.Fatalf("%v became %v", first, second)
		}
	})
}
