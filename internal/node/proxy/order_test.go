package proxy

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

func address(last int) netip.AddrPort {
	return netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:6443", last))
}

// servers are the API servers on nodes cp-1, cp-2 … with the addresses 10.0.0.1, 10.0.0.2 …
func servers(numbers ...int) []endpoint.Server {
	var out []endpoint.Server
	for _, n := range numbers {
		out = append(out, endpoint.Server{Node: fmt.Sprintf("cp-%d", n), Addresses: []netip.AddrPort{address(n)}})
	}
	return out
}

func list(sequence int64, servers ...endpoint.Server) endpoint.List {
	return endpoint.List{Generation: 1, Sequence: sequence, Servers: servers}
}

// arranged is a proxy that knows the list and does not run.
func arranged(t *testing.T, o Options, lists ...endpoint.List) *Proxy {
	t.Helper()
	o.Files = &memory{}
	p := newProxy(o, defaultTiming())
	for _, list := range lists {
		if newer, err := p.Offer(t.Context(), list); !newer || err != nil {
			t.Fatalf("list %d was not taken: %v", list.Sequence, err)
		}
	}
	return p
}

func order(p *Proxy) []string {
	var out []string
	for _, server := range p.State().Servers {
		out = append(out, server.Address.String())
	}
	return out
}

func TestLocalServerComesFirst(t *testing.T) {
	own := netip.MustParseAddrPort("127.0.0.1:6443")
	for n := range 3 {
		o := Options{Node: fmt.Sprintf("cp-%d", n+1), Local: own}
		if got := order(arranged(t, o, list(1, servers(1, 2, 3)...))); len(got) != 3 || got[0] != own.String() {
			t.Errorf("%s tries %v", o.Node, got)
		}
	}
	if got := order(arranged(t, Options{Node: "cp-1", Local: own})); !cmp.Equal(got, []string{own.String()}) {
		t.Errorf("without a list: %v", got)
	}
}

func TestNodesSpreadAndStay(t *testing.T) {
	const nodes = 600
	before, after := list(1, servers(1, 2, 3)...), list(2, servers(2, 3, 4)...)
	count := map[string]int{}
	for n := range nodes {
		o := Options{Node: fmt.Sprintf("worker-%d", n)}
		first := order(arranged(t, o, before))[0]
		count[first]++
		if again := order(arranged(t, o, before))[0]; again != first {
			t.Errorf("%s prefers %s, then %s", o.Node, first, again)
		}
		then := order(arranged(t, o, before, after))[0]
		if then != first && first != address(1).String() && then != address(4).String() {
			t.Errorf("%s moved from %s to %s, though neither came nor went", o.Node, first, then)
		}
	}
	for n := 1; n <= 3; n++ {
		if got := count[address(n).String()]; got < nodes/4 || got > nodes*5/12 {
			t.Errorf("%d of %d nodes prefer server %d", got, nodes, n)
		}
	}
}

func TestCandidatesLeaveNobodyOut(t *testing.T) {
	leaver := servers(6)
	leaver[0].Draining = true
	p := arranged(t, Options{Node: "worker"}, list(1, servers(8, 9)...), list(2, append(servers(1, 2, 3, 4, 5), leaver...)...))
	for n, health := range map[int]Health{1: Dead, 2: Unready, 3: Draining, 4: Unknown, 5: Ready, 6: Ready, 8: Ready, 9: Unknown} {
		p.targets[address(n)].health = health
	}
	var got []netip.AddrPort
	for _, server := range p.State().Servers {
		got = append(got, server.Address)
	}
	want := []netip.AddrPort{address(5), address(4), address(3), address(6), address(2), address(8), address(1), address(9)}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestProxyNeverCallsItself(t *testing.T) {
	p := newProxy(Options{Node: "worker", Files: &memory{}}, defaultTiming())
	p.own[address(1)] = true
	if _, err := p.Offer(t.Context(), list(1, servers(1, 2)...)); err != nil {
		t.Fatal(err)
	}
	if got := order(p); !cmp.Equal(got, []string{address(2).String()}) {
		t.Errorf("got %v", got)
	}
}
