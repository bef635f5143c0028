package hoststep

import (
	"context"
	"errors"
	"fmt"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Diagnosed makes an attempt of a wait explain itself: when it fails, the host is looked at, and the fault that is seen stands
// in the error, so that it is the last one when the time is over. A definite fault ends the wait at once.
// The returned function is one wait: it remembers what it saw.
func Diagnosed(h *host.Host, scope diagnosis.Scope, attempt func(context.Context) error) func(context.Context) error {
	watch := &diagnosis.Watch{Scope: scope}
	return func(ctx context.Context) error {
		err := attempt(ctx)
		if err == nil || len(fault.Of(err)) > 0 {
			return err // what is known already needs no diagnosis
		}
		return errors.Join(err, Diagnose(ctx, h, watch))
	}
}

// Diagnose looks at the host between two attempts: nil when nothing is known yet, a Permanent error when the fault is definite.
func Diagnose(ctx context.Context, h *host.Host, watch *diagnosis.Watch) error {
	found, definite := watch.Look(ctx, h)
	if found == nil {
		return nil
	}
	err := fmt.Errorf("diagnosis: %w", found)
	if definite {
		return flow.Permanent(err)
	}
	return err
}
