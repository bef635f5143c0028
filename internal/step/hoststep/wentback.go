package hoststep

import (
	"context"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// WentBack is a fault when this node has gone back from a configuration since the time; nil when it has not.
func WentBack(ctx context.Context, h *host.Host, since time.Time) error {
	refusal, err := agent.Refused(ctx, h)
	if err != nil || refusal == nil || refusal.At.Before(since) {
		return err
	}
	return fault.New(fault.WentBack, "this node went back to its former configuration: %s", refusal.Because)
}

// TryAgain lets this node take a configuration that it went back from.
func TryAgain(ctx context.Context, h *host.Host) error { return agent.ForgetRefusal(ctx, h) }
