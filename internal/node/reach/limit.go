package reach

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// One machine's checks are about a dozen requests. Who asks more often waits, and all together do not keep the server busy.
const (
	perSecond  = 1
	burst      = 60
	concurrent = 16
	remembered = 1024
)

// limiter bounds requests by address and altogether.
type limiter struct {
	slots chan struct{}

	mu   sync.Mutex
	from map[netip.Addr]*rate.Limiter
}

func newLimiter() *limiter {
	return &limiter{slots: make(chan struct{}, concurrent), from: map[netip.Addr]*rate.Limiter{}}
}

// begin says whether the request may be answered; then done is to be called after it.
func (l *limiter) begin(from netip.Addr) (done func(), ok bool) {
	if !l.of(from).Allow() {
		return nil, false
	}
	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots }, true
	default:
		return nil, false
	}
}

func (l *limiter) of(from netip.Addr) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one, ok := l.from[from]; ok {
		return one
	}
	if len(l.from) >= remembered {
		l.forget()
	}
	one := rate.NewLimiter(perSecond, burst)
	l.from[from] = one
	return one
}

// forget drops the addresses that may ask as often as new ones; all of them when that is none.
func (l *limiter) forget() {
	now := time.Now()
	for address, one := range l.from {
		if one.TokensAt(now) >= burst {
			delete(l.from, address)
		}
	}
	if len(l.from) >= remembered {
		clear(l.from)
	}
}
