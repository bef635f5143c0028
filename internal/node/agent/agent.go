// Package agent turns an OperatingSystemConfig into a plan of changes of this host, and applies it.
// Used by init and join before the API answers, and by the node agent from then on.
package agent

import (
	"context"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Agent applies OperatingSystemConfigs to one host. It is not safe for concurrent use: one host has one agent.
type Agent struct {
	host   host.Host
	source Source
	own    string
}

// New returns the agent of a host; files of images come from source.
func New(h host.Host, source Source) *Agent { return &Agent{host: h, source: source} }

// NewIn returns the agent of a host that itself runs in the unit. No plan of its touches the state of that unit: it would end in the
// middle. Plan.Leave says that the unit has to be restarted at the end.
func NewIn(h host.Host, source Source, unit string) *Agent {
	return &Agent{host: h, source: source, own: unit}
}

// Reconcile makes the host what is wanted and returns the plan that it followed; an empty one when nothing had to change.
// After a failure or a kill at any point it is simply called again.
func (a *Agent) Reconcile(ctx context.Context, want Want) (Plan, error) {
	plan, err := a.Plan(ctx, want)
	if err != nil {
		return Plan{}, err
	}
	return plan, a.Apply(ctx, plan)
}

// ReconcileUntil does the same, but of the units it starts only those up to the named one, and leaves off there like an agent
// that was killed: the next Reconcile goes on. So what the later units need can be done in between.
func (a *Agent) ReconcileUntil(ctx context.Context, want Want, unit string) (Plan, error) {
	plan, err := a.Plan(ctx, want)
	if err != nil {
		return Plan{}, err
	}
	plan = plan.until(want, unit)
	return plan, a.Apply(ctx, plan)
}

// Plan looks at the host and says what Reconcile would do. It changes nothing.
func (a *Agent) Plan(ctx context.Context, want Want) (Plan, error) {
	have, pending, err := a.Observe(ctx, want)
	if err != nil {
		return Plan{}, err
	}
	return Diff(want, have, pending).within(a.own), nil
}
