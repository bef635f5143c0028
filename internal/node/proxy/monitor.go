package proxy

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// watch starts the target's monitor, if Serve runs. p.mu is held, or p is not shared yet.
func (p *Proxy) watch(t *target) {
	if p.spawn != nil {
		t.stop = p.spawn(func(ctx context.Context) { p.monitor(ctx, t) })
	}
}

// monitor probes the target until ctx ends.
func (p *Proxy) monitor(ctx context.Context, t *target) {
	prober := p.newProber(t.address)
	defer prober.close()
	limit := p.timing.answer
	for {
		began := time.Now()
		outcome := prober.probe(ctx, limit)
		if ctx.Err() != nil {
			return
		}
		p.learn(t, outcome)
		var rest time.Duration
		rest, limit = p.next(t)
		wait(ctx, rest-time.Since(began), t.wake)
		if !pause(ctx, p.timing.gap-time.Since(began)) {
			return
		}
	}
}

// wait returns after d, when woken or when ctx ends.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// next is the time from the begin of a probe to the next one, and how long that may take.
func (p *Proxy) next(t *target) (rest, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.suspect() {
		return 2 * p.timing.gap, p.timing.confirm
	}
	return jitter(p.rest(t)), p.timing.answer
}

// learn takes an outcome in and does what follows from it.
func (p *Proxy) learn(t *target, o outcome) {
	if now, changed := p.note(t, o); changed {
		p.log.Info("API server", "node", now.Node, "address", now.Address, "health", now.Health, "reason", now.Reason, "connections", now.Connections)
	}
}

func (p *Proxy) note(t *target, o outcome) (now ServerState, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	calm := t.trouble.IsZero()
	changed, now = t.see(o, time.Now()), t.state()
	if calm && !t.trouble.IsZero() {
		// Whoever has to take over should be known by then.
		for _, other := range p.targets {
			if other != t {
				other.probe()
			}
		}
	}
	p.enforce()
	return now, changed
}

// rest is the time between two probes of a target.
func (p *Proxy) rest(t *target) time.Duration {
	switch {
	case len(t.flows) > 0 || t.first(p.targets):
		return p.timing.interval
	case t.role == retired:
		return p.timing.retired
	}
	return p.timing.idle
}

// jitter keeps the nodes of a cluster from asking at the same moment.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// tend closes, at each tick, what has to be closed.
func (p *Proxy) tend(ctx context.Context) {
	for pause(ctx, p.timing.tick) {
		p.mu.Lock()
		p.enforce()
		var flows []*flow
		if p.anyReady() {
			flows = slices.Collect(p.flows())
		}
		p.mu.Unlock()
		for _, f := range flows {
			if vanished(f.server, p.timing.silence) || vanished(f.client, p.timing.silence) {
				f.abort()
			}
		}
	}
}

// enforce closes connections to servers that have no future for them, as long as there is another server to go to.
// p.mu is held.
func (p *Proxy) enforce() {
	now := time.Now()
	for _, t := range p.targets {
		if !t.condemned() {
			t.paid = false
		}
		if !t.condemned() || !p.refuge(t) || !t.pay(p.budget, now) {
			t.doomed = time.Time{}
			continue
		}
		if t.doomed.IsZero() {
			t.doomed, t.crowd = now, len(t.flows)
		}
		t.reset(len(t.flows) - t.stay(p.timing.spread, now))
	}
}

// stay is how many of a doomed target's connections may still be open: of an unready one fewer and fewer, so that not all
// clients come back at once, of a dead one none.
func (t *target) stay(spread time.Duration, now time.Time) int {
	left := spread - now.Sub(t.doomed)
	if t.health == Dead || left <= 0 {
		return 0
	}
	return int(int64(t.crowd) * int64(left) / int64(spread))
}

// pay takes one from the budget for each death that costs connections.
func (t *target) pay(budget *rate.Limiter, now time.Time) bool {
	if !t.paid && len(t.flows) > 0 {
		t.paid = budget.AllowN(now, 1)
		return t.paid
	}
	return true
}

// refuge says that another server answered since t got into trouble: it is the server, not this node's network.
func (p *Proxy) refuge(t *target) bool {
	for _, other := range p.targets {
		if other != t && other.usable() && !other.answered.Before(t.trouble) {
			return true
		}
	}
	return false
}

func (p *Proxy) anyReady() bool {
	for _, t := range p.targets {
		if t.usable() {
			return true
		}
	}
	return false
}

func (t *target) usable() bool { return t.health == Ready && !t.suspect() && t.role != leaving }
