package proxy

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// target is one address of one API server. All but address and wake is guarded by Proxy.mu.
type target struct {
	address netip.AddrPort
	place
	record
	flows map[*flow]struct{}
	// resets counts connections that were closed because of the target's health.
	resets int64
	// paid: the budget had room for this death. doomed: no connection is to stay, since then, when there was a crowd of them.
	paid   bool
	doomed time.Time
	crowd  int
	// wake asks for a probe now; stop ends the monitor and is nil while there is none.
	wake chan struct{}
	stop context.CancelFunc
}

// place is what the lists say about a target.
type place struct {
	node   string
	role   role
	weight uint64
	nth    int // of the server's addresses
}

// places are the targets that should be, by address. What the proxy itself listens on is passed over: it would call itself.
func (p *Proxy) places() map[netip.AddrPort]place {
	o, out := p.options, map[netip.AddrPort]place{}
	for i, r := range p.known.Retired {
		out[r.Address] = place{r.Node, retired, weight(o.Node, r.Node), i}
	}
	own := place{o.Node, local, weight(o.Node, o.Node), 0}
	for _, server := range p.known.List.Servers {
		role := listed
		if server.Draining {
			role = leaving
		}
		if server.Node == o.Node && o.Local.IsValid() {
			if server.Draining {
				own.role = leaving
			}
			continue
		}
		for i, address := range server.Addresses {
			out[address] = place{server.Node, role, weight(o.Node, server.Node), i}
		}
	}
	if o.Local.IsValid() {
		out[o.Local] = own
	}
	maps.DeleteFunc(out, func(address netip.AddrPort, _ place) bool { return p.own[address] })
	return out
}

// arrange makes the targets those that should be. p.mu is held, or p is not shared yet.
func (p *Proxy) arrange() {
	wanted := p.places()
	for address, t := range p.targets {
		if _, stays := wanted[address]; !stays {
			t.reset(len(t.flows))
			if t.stop != nil {
				t.stop()
			}
			delete(p.targets, address)
		}
	}
	for address, place := range wanted {
		if t, known := p.targets[address]; known {
			t.place = place
			t.probe()
			continue
		}
		t := newTarget(address, place)
		p.targets[address] = t
		p.watch(t)
	}
	p.enforce()
}

func newTarget(address netip.AddrPort, place place) *target {
	return &target{address: address, place: place, record: record{health: Unknown, since: time.Now()}, flows: map[*flow]struct{}{}, wake: make(chan struct{}, 1)}
}

// probe asks the monitor to look now.
func (t *target) probe() {
	select {
	case t.wake <- struct{}{}:
	default: // it will
	}
}

// reset closes n of the target's connections, any of them.
func (t *target) reset(n int) {
	for f := range t.flows {
		if n--; n < 0 {
			return
		}
		f.abort()
		delete(t.flows, f)
		t.resets++
	}
}

// Offer takes the list if it is newer than what is known, uses it at once and writes it to disk. It says whether it was
// newer; an older or equal one is no error. A list that cannot be written is used all the same, and written later.
func (p *Proxy) Offer(ctx context.Context, list endpoint.List) (bool, error) {
	if err := list.Validate(); err != nil {
		return false, err
	}
	if !p.take(list) {
		return false, nil
	}
	p.log.Info("new list of API servers", "generation", list.Generation, "sequence", list.Sequence, "servers", len(list.Servers))
	return true, p.save(ctx)
}

func (p *Proxy) take(list endpoint.List) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if list.Compare(p.known.List) <= 0 {
		return false
	}
	p.known = p.known.Next(list, time.Now())
	p.problem = errUnsaved
	p.arrange()
	return true
}
