package mirror

import (
	"context"
	"net/netip"
	"sync"

	"golang.org/x/sync/semaphore"
)

// share is the part of all transfers that one address may have: a reader that takes a little each minute keeps its turn for hours.
const share = 4

// turns bound the transfers of all readers together, and of each address.
type turns struct {
	all  *semaphore.Weighted
	most int64

	mu      sync.Mutex
	readers map[netip.Addr]*reader
}

// reader is an address with transfers, or waiting for one.
type reader struct {
	turns *semaphore.Weighted
	users int
}

func newTurns(most int64) *turns {
	return &turns{all: semaphore.NewWeighted(most), most: most, readers: map[netip.Addr]*reader{}}
}

// wait returns the end of a transfer that may begin now, or the cause why ctx ended before. The address' own turn comes first: who
// waits for that takes nothing from others.
func (t *turns) wait(ctx context.Context, of netip.Addr) (func(), error) {
	one := t.enter(of)
	if err := one.turns.Acquire(ctx, 1); err != nil {
		t.leave(of, one)
		return nil, err
	}
	end := func() { one.turns.Release(1); t.leave(of, one) }
	if err := t.all.Acquire(ctx, 1); err != nil {
		end()
		return nil, err
	}
	return func() { t.all.Release(1); end() }, nil
}

func (t *turns) enter(of netip.Addr) *reader {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers[of] == nil {
		t.readers[of] = &reader{turns: semaphore.NewWeighted(max(1, t.most/share))}
	}
	t.readers[of].users++
	return t.readers[of]
}

func (t *turns) leave(of netip.Addr, one *reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.readers, of)
	}
}
