package proxy

import (
	"context"
	"net/netip"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// ask looks for a newer list by other ways while no server is ready, and writes the list where the file does not hold it.
func (p *Proxy) ask(ctx context.Context) {
	for pause(ctx, jitter(p.timing.ask)) {
		p.review(ctx)
		if err := p.save(ctx); err != nil {
			p.log.Warn("the list of API servers is not on disk", "error", err)
		}
		for _, node := range p.forsaken() {
			list, err := p.fetch(ctx, node)
			if err != nil {
				p.log.Debug("no list of API servers", "from", node, "error", err)
				continue
			}
			if newer, err := p.Offer(ctx, list); newer || err != nil {
				p.log.Info("a control plane node told the API servers", "node", node, "error", err)
				break
			}
		}
	}
}

// forsaken are the nodes to ask: none while a server is ready.
func (p *Proxy) forsaken() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.options.Fetcher == nil || p.anyReady() {
		return nil
	}
	var out []netip.Addr
	for _, t := range candidates(p.targets) {
		if t.role != local {
			out = append(out, t.address.Addr())
		}
	}
	return out
}

func (p *Proxy) fetch(ctx context.Context, node netip.Addr) (endpoint.List, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timing.fetch)
	defer cancel()
	return p.options.Fetcher.Fetch(ctx, node)
}
