package preflight_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
	"github.com/gardenadm/gardenadm/internal/node/reach"
)

func first() netip.Addr  { return netip.MustParseAddr("192.0.2.2") }
func second() netip.Addr { return netip.MustParseAddr("192.0.2.3") }

// world is what lies between the machine and its peers; the zero value has no peer that answers.
type world struct {
	closed  map[netip.AddrPort]reach.Outcome
	clock   time.Duration // ahead
	twins   []reach.Identity
	back    reach.Back
	paths   reach.Paths
	busy    error // of listening
	refuses error // of answering
}

// wellConnected returns a world in which nothing is wrong.
func wellConnected() *world {
	path := reach.Path{Tested: true, MTU: 1500, Largest: 1500}
	return &world{
		closed: map[netip.AddrPort]reach.Outcome{},
		back:   reach.Back{Outcome: reach.Reached, Seen: netip.MustParseAddr("192.0.2.10")},
		paths:  reach.Paths{To: path, From: path, HasOverlay: true},
	}
}

func (w *world) close(address netip.Addr, port int, outcome reach.Outcome) {
	w.closed[netip.AddrPortFrom(address, uint16(port))] = outcome
}

func (w *world) Connect(_ context.Context, to netip.AddrPort) reach.Outcome {
	if outcome, ok := w.closed[to]; ok {
		return outcome
	}
	return reach.Reached
}

func (w *world) Clock(context.Context, netip.Addr) (reach.Clock, error) {
	here := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return reach.Clock{Here: here, There: here.Add(w.clock)}, w.refuses
}

func (w *world) Twins(_ context.Context, _ netip.Addr, self reach.Identity) ([]reach.Identity, error) {
	if self.MachineID != "0123" {
		return nil, errors.New("the machine's ID is not told")
	}
	return w.twins, w.refuses
}

func (w *world) Back(_ context.Context, servers []netip.Addr, _ int) ([]reach.Back, error) {
	var out []reach.Back
	for _, server := range servers {
		w.back.Server, w.back.Err = server, w.refuses
		out = append(out, w.back)
	}
	return out, w.busy
}

func (w *world) Overlay(_ context.Context, servers []netip.Addr) ([]reach.Paths, error) {
	var out []reach.Paths
	for _, server := range servers {
		paths := w.paths
		paths.Server = server
		out = append(out, paths)
	}
	return out, w.busy
}

func joining(w *world) preflight.Input {
	in := input()
	in.Role = preflight.Worker
	in.Peers = &preflight.Peers{Addresses: []netip.Addr{first(), second()}, Reach: w}
	return in
}

func joiner(t *testing.T) machine {
	m := good(t)
	m.write("/etc/machine-id", "0123\n")
	m.facts(func(f *host.Facts) { f.HostName = "Worker-1" })
	return m
}

func TestWellConnectedMachineJoins(t *testing.T) {
	report := joiner(t).run(joining(wellConnected()))
	if report.Err() != nil || len(report.Warnings()) != 0 {
		t.Errorf("got %v and %v", report.Err(), report.Warnings())
	}
	var made []string
	for _, result := range report.Results {
		made = append(made, result.Name)
	}
	for _, name := range []string{"peer-ports", "peer-clock", "peer-identity", "peer-back", "peer-overlay"} {
		if !slices.Contains(made, name) {
			t.Errorf("%s is not among %q", name, made)
		}
	}
	for _, name := range []string{"cpu", "disk-latency", "etcd-data"} {
		if slices.Contains(made, name) {
			t.Errorf("%s is made on a worker", name)
		}
	}
}

func TestBadlyConnectedMachine(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*world)
		check   string
		status  string
		code    fault.Code
		mention string
	}{
		"one API server is away": {func(w *world) { w.close(first(), layout.PortAPIServer, reach.TimedOut) },
			"peer-ports", "warn", fault.PortNotReached, "192.0.2.2:6443 (nothing comes back"},
		"no mirror is there": {func(w *world) {
			w.close(first(), layout.PortMirror, reach.Refused)
			w.close(second(), layout.PortMirror, reach.Refused)
		}, "peer-ports", "fail", fault.PortNotReached, "192.0.2.3:7444 (refused"},
		"no kubelet is reached": {func(w *world) {
			w.close(first(), layout.PortKubelet, reach.TimedOut)
			w.close(second(), layout.PortKubelet, reach.TimedOut)
		}, "peer-ports", "warn", fault.PortNotReached, "192.0.2.3:10250 (nothing"},
		"clock a little off": {func(w *world) { w.clock = 3 * time.Second }, "peer-clock", "warn", fault.ClocksDiffer, "3s apart"},
		"clock far off": {func(w *world) { w.clock = -time.Hour }, "peer-clock", "fail", fault.ClocksDiffer,
			"shows 2026-01-01 00:00:00.0 UTC, that of 192.0.2.2 2025-12-31 23:00:00.0 UTC"},
		"clock within the limits": {func(w *world) { w.clock = 900 * time.Millisecond }, "peer-clock", "ok", "", ""},
		"nobody tells the time":   {func(w *world) { w.refuses = errors.New("429") }, "peer-clock", "warn", fault.NotChecked, "429"},
		"copied machine": {func(w *world) { w.twins = []reach.Identity{{Name: "worker-0", MachineID: "0123"}} },
			"peer-identity", "warn", fault.SameMachineID, "worker-0"},
		"copied network card": {func(w *world) {
			w.twins = []reach.Identity{{Name: "worker-0", Ready: true, Address: second(), Link: "02:00:00:00:00:01"}}
		}, "peer-identity", "fail", fault.SameLink, "worker-0 (192.0.2.3) has a network card with the address 02:00:00:00:00:01"},
		"copy with its name": {func(w *world) {
			w.twins = []reach.Identity{{Name: "worker-1", MachineID: "0123", Ready: true, Address: second()}}
		}, "peer-identity", "fail", fault.SameName, "192.0.2.3"},
		"name of another machine": {func(w *world) { w.twins = []reach.Identity{{Name: "worker-1", MachineID: "4567", Ready: true}} },
			"peer-identity", "fail", fault.SameName, "worker-1"},
		"name of a dead machine": {func(w *world) { w.twins = []reach.Identity{{Name: "worker-1", MachineID: "4567"}} }, "peer-identity", "ok", "", ""},
		"not reached back":       {func(w *world) { w.back.Outcome = reach.TimedOut }, "peer-back", "fail", fault.NotReachedBack, "open port 10250/tcp"},
		"somebody else there":    {func(w *world) { w.back.Outcome = reach.Other }, "peer-back", "fail", fault.NotReachedBack, "somebody else"},
		"behind a router": {func(w *world) { w.back.Seen = netip.MustParseAddr("203.0.113.1") },
			"peer-back", "fail", fault.AddressTranslated, "192.0.2.10, but 192.0.2.2 sees it as 203.0.113.1"},
		"kubelet runs already":  {func(w *world) { w.busy = syscall.EADDRINUSE }, "peer-back", "ok", "", ""},
		"flannel runs already":  {func(w *world) { w.busy = syscall.EADDRINUSE }, "peer-overlay", "ok", "", ""},
		"other kind of network": {func(w *world) { w.paths = reach.Paths{} }, "peer-overlay", "ok", "", ""},
		"blocked to it":         {func(w *world) { w.paths.To.Largest = 0 }, "peer-overlay", "fail", fault.OverlayBlocked, "arrives to 192.0.2.2"},
		"blocked from it":       {func(w *world) { w.paths.From.Largest = 0 }, "peer-overlay", "fail", fault.OverlayBlocked, "arrives from 192.0.2.2"},
		"cannot be told":        {func(w *world) { w.paths.To = reach.Path{MTU: 1500} }, "peer-overlay", "warn", fault.NotChecked, "rp_filter"},
		"lost in a tunnel":      {func(w *world) { w.paths.To.Largest = 1400 }, "peer-overlay", "fail", fault.PathTooSmall, "to 1400"},
		"cut in a tunnel": {func(w *world) { w.paths.From.Largest, w.paths.From.Pieces = 1400, true },
			"peer-overlay", "warn", fault.PathTooSmall, "in pieces"},
		"jumbo frames here": {func(w *world) { w.paths.To.MTU, w.paths.To.Largest = 9000, 9000 }, "peer-overlay", "warn", fault.MTUsDiffer, "9000 here and 1500"},
	} {
		t.Run(name, func(t *testing.T) {
			w := wellConnected()
			c.spoil(w)
			report := joiner(t).run(joining(w))
			at := slices.IndexFunc(report.Results, func(r preflight.Result) bool { return r.Name == c.check })
			got := report.Results[at]
			if got.Status() != c.status {
				t.Fatalf("%s is %s, want %s: %+v", c.check, got.Status(), c.status, got.Findings)
			}
			if c.code == "" {
				return
			}
			found := got.Findings[0].Fault
			text := strings.Join(append(found.Evidence, found.Error(), found.Fix), "\n")
			if found.Code != c.code || !strings.Contains(text, c.mention) {
				t.Errorf("got %s: %q, want %s with %q", found.Code, text, c.code, c.mention)
			}
		})
	}
}

// What a firewall does to the port of questions is told once, not by each check that cannot ask.
func TestNobodyToAsk(t *testing.T) {
	w := wellConnected()
	w.close(first(), layout.PortGardenlet, reach.TimedOut)
	w.close(second(), layout.PortGardenlet, reach.TimedOut)
	report := joiner(t).run(joining(w))
	if found := fault.Of(report.Err()); len(found) != 1 || found[0].Code != fault.PortNotReached || len(report.Warnings()) != 0 {
		t.Errorf("got %v and %v, want the port alone", report.Err(), report.Warnings())
	}
}

// What preflight does not know of the cluster is not taken for good.
func TestNetworksThatNobodyKnows(t *testing.T) {
	in := joining(wellConnected())
	in.Networks = nil
	report := joiner(t).run(in)
	at := slices.IndexFunc(report.Results, func(r preflight.Result) bool { return r.Name == "networks" })
	if seen := report.Results[at].Seen; !strings.HasPrefix(seen, "not tested") {
		t.Errorf("it saw %q", seen)
	}
}

// Without an address nobody can reach the machine: that is the address's fault alone.
func TestAddressOnNoLink(t *testing.T) {
	w := wellConnected()
	w.back.Outcome, w.paths.To.Largest, w.paths.From.Largest = reach.TimedOut, 0, 0
	in := joining(w)
	in.NodeIP = netip.MustParseAddr("192.0.2.77")
	report := joiner(t).run(in)
	if found := fault.Of(report.Err()); len(found) != 1 || found[0].Code != fault.NodeAddress || len(report.Warnings()) != 0 {
		t.Errorf("got %v and %v, want the address alone", report.Err(), report.Warnings())
	}
}

func TestWorkerNeedsLess(t *testing.T) {
	m := joiner(t)
	m.facts(func(f *host.Facts) { f.CPUs, f.Memory = 1, 1<<30 })
	m.SetSpace("/", host.Space{Path: "/", Device: 1, Free: 8 << 30, Total: 9 << 30})
	m.listener("tcp", "0.0.0.0:6443", "haproxy", 77)
	m.write("/var/lib/etcd/member/snap/db", "")
	if report := m.run(joining(wellConnected())); report.Err() != nil || len(report.Warnings()) != 0 {
		t.Errorf("got %v and %v", report.Err(), report.Warnings())
	}
	m.listener("tcp", "0.0.0.0:10250", "x", 77)
	if found := fault.Of(m.run(joining(wellConnected())).Err()); len(found) != 1 || found[0].Code != fault.PortTaken {
		t.Errorf("got %v, want that the kubelet's port is taken", found)
	}
}
