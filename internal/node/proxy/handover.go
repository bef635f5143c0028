package proxy

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net"
	"slices"
)

// Pair is the two connections of one flow, between two lives of the proxy's process.
type Pair struct{ Client, Server *net.TCPConn }

// Drain stops accepting and waits until the last connection has ended by itself. Another process that has the same
// sockets serves new clients meanwhile. When ctx ends before, the error says how many are left; they go on until Serve ends.
func (p *Proxy) Drain(ctx context.Context) error {
	p.closeListeners()
	return p.empty(ctx)
}

// HandOver stops accepting and returns the open connections, whole and with no byte lost, for the Inherited of the next
// process. Clients and servers do not notice. A connection whose receiver takes nothing until ctx ends stays behind and
// is counted by the error; it is reset when Serve ends, which has to be next.
func (p *Proxy) HandOver(ctx context.Context) ([]Pair, error) {
	p.closeListeners()
	p.pass()
	err := p.empty(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.passed
	p.passed, p.passing = nil, false
	return out, err
}

func (p *Proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passing = true
	for f := range p.flows() {
		f.interrupt()
	}
}

// empty waits until no client is left and none can come.
func (p *Proxy) empty(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.left.Broadcast()
	})()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.accepts > 0 || len(p.open) > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("drain API proxy: %d connections are left: %w", p.clients(), context.Cause(ctx))
		}
		p.left.Wait()
	}
	return nil
}

// flows are all that are open. p.mu is held.
func (p *Proxy) flows() iter.Seq[*flow] {
	return func(yield func(*flow) bool) {
		for _, t := range append(slices.Collect(maps.Values(p.targets)), p.strays) {
			for f := range t.flows {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// clients counts those that are admitted. p.mu is held.
func (p *Proxy) clients() int {
	sum := 0
	for _, n := range p.open {
		sum += n
	}
	return sum
}

// inherit attaches a connection of the process before, and returns what runs it. p.mu is held.
func (p *Proxy) inherit(pair Pair) func() {
	f := newFlow(pair.Client, pair.Server)
	at := addrPort(pair.Client.LocalAddr())
	p.open[at]++
	// The kernel forgets the address of a server that has said its last word while there is still something of it to read.
	t, known := p.targets[addrPort(pair.Server.RemoteAddr())]
	if !known {
		t = p.strays
	}
	t.flows[f] = struct{}{}
	return func() {
		defer p.leave(at)
		p.carry(t, f)
	}
}
