// Package diagnosis turns what a host shows without its API (units, containers, logs) into the fault that keeps it from coming up.
// Used by the wait steps of init and by `gardenadm status`.
package diagnosis

import (
	"context"
	"slices"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Scope is what is looked at.
type Scope string

// Scopes.
const (
	// Runtime is containerd alone, before there is a kubelet.
	Runtime Scope = "container runtime"
	// Control is containerd, kubelet, the endpoint proxy and the static pods: what an API server needs to answer.
	Control Scope = "control plane"
	// All looks at gardenadm's other units and the other pods of the system too: what a node needs to be Ready and kept.
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

// examine returns all suspects, causes before consequences.
func examine(ctx context.Context, h *host.Host, scope Scope, now time.Time) []suspect {
	x := examiner{h: h, view: look(ctx, h, now)}
	if suspects := x.runtime(ctx); len(suspects) > 0 || scope == Runtime {
		return suspects
	}
	if s, bad := x.unit(ctx, x.kubelet); bad {
		return []suspect{s}
	}
	all, others := x.ownUnits(ctx, scope)
	all = append(all, x.staticPods(ctx)...)
	if scope == All {
		all = append(all, x.workloads(ctx)...)
	}
	all = append(all, others...)
	slices.SortStableFunc(all, func(a, b suspect) int { return weight(scope, a) - weight(scope, b) })
	return all
}

// weight orders suspects: what others wait for, then what is sure.
func weight(scope Scope, s suspect) int {
	switch {
	case !awaited(scope, s.component):
		return 2
	case s.soft:
		return 1
	}
	return 0
}

// awaited says whether a component is waited for itself. As long as the API server does not answer, whatever asks it ends again and again.
func awaited(scope Scope, component string) bool {
	return scope == All || slices.Contains([]string{containerd, kubelet, apiProxy, etcd, apiServer}, component)
}
