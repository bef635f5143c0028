package hosttest

import (
	"context"
	"sync"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// locks are those of one fake machine. Taking one is no change of the machine and not in the log.
type locks struct {
	mu   sync.Mutex
	held map[string]bool
}

func (l *locks) Lock(_ context.Context, path string) (func() error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[path] {
		return nil, host.ErrLocked
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[path] = true
	return func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, path)
		return nil
	}, nil
}
