package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// accept takes clients until the listener is closed.
func (p *Proxy) accept(ctx context.Context, all *sync.WaitGroup, listener net.Listener) {
	defer p.acceptsNoMore()
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Out of descriptors or memory: what is open goes on, and some of it will end.
			p.log.Warn("cannot accept connections", "listener", listener.Addr(), "error", err)
			if !pause(ctx, p.timing.gap) {
				return
			}
			continue
		}
		client, isTCP := conn.(*net.TCPConn)
		if !isTCP {
			_ = conn.Close()
			continue
		}
		if !p.admit(client) {
			abort(client)
			continue
		}
		all.Go(func() { p.serve(ctx, client) })
	}
}

func (p *Proxy) acceptsNoMore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepts--
	p.left.Broadcast()
}

// admit counts a client if its listener has room for it.
func (p *Proxy) admit(client *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := addrPort(client.LocalAddr())
	if p.open[at] >= p.options.Connections {
		p.full++
		return false
	}
	p.open[at]++
	return true
}

// serve leads a client that was admitted to a server.
func (p *Proxy) serve(ctx context.Context, client *net.TCPConn) {
	at := addrPort(client.LocalAddr())
	defer p.leave(at)
	tune(client)
	t, f, err := p.connect(ctx, client)
	if err != nil {
		p.log.Debug("no API server for a client", "error", err)
		abort(client)
		return
	}
	p.carry(t, f)
}

func (p *Proxy) leave(at netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[at]--; p.open[at] == 0 {
		delete(p.open, at)
	}
	p.left.Broadcast()
}

// carry runs a flow that is attached, and detaches it.
func (p *Proxy) carry(t *target, f *flow) {
	ending := f.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(t.flows, f)
	switch ending {
	case interrupted:
		if !p.passing { // too late
			f.abort()
			return
		}
		f.resume()
		p.passed = append(p.passed, Pair{Client: f.client, Server: f.server})
	case broken:
		t.probe() // a server that died is noticed at once
	}
}

// connect tries the targets in order and attaches the client to the first that takes the connection.
func (p *Proxy) connect(ctx context.Context, client *net.TCPConn) (*target, *flow, error) {
	var errs []error
	dialer := net.Dialer{Timeout: p.timing.dial}
	for _, t := range p.candidates() {
		conn, err := dialer.DialContext(ctx, "tcp", t.address.String())
		if err != nil {
			p.missed(t, err)
			errs = append(errs, fmt.Errorf("dial %s: %w", t.address, err))
			continue
		}
		f := newFlow(client, conn.(*net.TCPConn))
		tune(f.server)
		if p.attach(t, f) {
			return t, f, nil
		}
		abort(f.server)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
	return nil, nil, errors.Join(errs...)
}

func (p *Proxy) candidates() []*target {
	p.mu.Lock()
	defer p.mu.Unlock()
	return candidates(p.targets)
}

// missed takes in that a server could not be dialled: what is certain counts at once, the rest is for the monitor to find out.
func (p *Proxy) missed(t *target, err error) {
	o := classify(err)
	if o.answer == refused {
		p.learn(t, o)
	}
	if o.answer != none {
		t.probe()
	}
}

// attach adds the flow to its target, unless the target died, or Serve ended, while the connection was made.
func (p *Proxy) attach(t *target, f *flow) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spawn == nil || p.targets[t.address] != t || !t.doomed.IsZero() {
		return false
	}
	if len(t.flows) == 0 {
		t.probe() // from now on it is used
	}
	t.flows[f] = struct{}{}
	if p.passing {
		f.interrupt()
	}
	return true
}
