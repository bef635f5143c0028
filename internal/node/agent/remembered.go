package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Remembered returns what agents put on the host and may still be there: what the last one that came to its end applied, and what one
// that was interrupted after it was about to. With an error it returns what is known in spite of it.
func Remembered(ctx context.Context, h *host.Host) (Owned, error) {
	a := New(*h, nil)
	applied, readErr := a.read(ctx, fileApplied)
	owned, appliedErr := ownedBy(applied)
	pending, pendingErr := load[Pending](ctx, a, filePending)
	if pending != nil {
		owned = owned.union(pending.Owned)
	}
	return owned, errors.Join(readErr, appliedErr, pendingErr)
}

// Ours says that the unit file is the OperatingSystemConfig's own, and not the operating system's.
func (u OwnedUnit) Ours() bool {
	return slices.Contains(u.Files, unitPath(u.Name))
}

// Paths returns all files, those of the units too, sorted.
func (o Owned) Paths() []string { return o.paths() }
