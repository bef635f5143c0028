package hoststep

import (
	"context"
	"errors"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Lock makes sure that only one command changes this machine. It is held until unlock is called or the process ends.
func Lock(ctx context.Context, h *host.Host) (unlock func() error, err error) {
	unlock, err = h.Locks.Lock(ctx, layout.FileLock)
	if errors.Is(err, host.ErrLocked) {
		return nil, fault.New(fault.Busy, "lock this machine: %w", err)
	}
	return unlock, err
}
