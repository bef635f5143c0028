// Package diagnosis turns what a host shows without its API (units, containers, logs) into the fault that keeps it from coming up.
// Used by the wait steps of init and by `gardenadm status`.
package diagnosis

import (
	"context"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Scope is what is looked at.
type Scope string

// Scopes.
const (
	// Control is containerd, kubelet and the static pods: what an API server needs to answer.
	Control Scope = "control plane"
	// All looks at the other pods of the system too: what a node needs to be Ready.
	All Scope = "all"
)

// ControlPlane returns what keeps the control plane from coming up, nil when nothing is seen. One look cannot tell a failure
// from a slow start: a Watch can.
func ControlPlane(ctx context.Context, h *host.Host) *fault.Error { return first(ctx, h, Control) }

// Workloads is the same for the whole node with the pods of DaemonSets and Deployments.
func Workloads(ctx context.Context, h *host.Host) *fault.Error { return first(ctx, h, All) }

func first(ctx context.Context, h *host.Host, scope Scope) *fault.Error {
	suspects := examine(ctx, h, scope, time.Now())
	if len(suspects) == 0 {
		return nil
	}
	return suspects[0].fault
}

// examine returns all suspects, causes before consequences; hard ones before soft ones.
func examine(ctx context.Context, h *host.Host, scope Scope, now time.Time) []suspect {
	x := examiner{h: h, view: look(ctx, h, now)}
	if suspects := x.units(ctx); len(suspects) > 0 {
		return suspects
	}
	all := x.staticPods(ctx)
	if scope == All {
		all = append(all, x.workloads(ctx)...)
	}
	var hard, soft []suspect
	for _, s := range all {
		if s.soft {
			soft = append(soft, s)
		} else {
			hard = append(hard, s)
		}
	}
	return append(hard, soft...)
}
