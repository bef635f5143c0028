package nodeagent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
)

const (
	// healthEvery is how often containerd and kubelet are asked; after healthTries bad answers they are restarted.
	healthEvery = 20 * time.Second
	healthTries = 3
	// runtimeTimeout bounds one question to containerd, which is slow while it unpacks images.
	runtimeTimeout = 10 * time.Second
)

// Reasons of the condition SystemdUnitsReady (contract node-agent-and-osc §6.4).
const (
	reasonHealthy     = "AllUnitsHealthy"
	reasonUnhealthy   = "UnhealthyUnits"
	reasonProgressing = "ProgressingUnits"
)

// health looks after the units of the node: those that hang are restarted, and the Node says how they are.
// Those that are down are started by the keeper.
type health struct {
	*daemon
	units func() []agent.Unit
	// bad counts the bad answers of a unit in a row.
	bad   map[string]int
	spare *spare
	// moving is since when a unit is between two states.
	moving map[string]time.Time
	looked time.Time
	tries  retry
}

func newHealth(d *daemon, units func() []agent.Unit) *health {
	return &health{
		daemon: d, units: units, bad: map[string]int{}, spare: newSpare(), moving: map[string]time.Time{},
		tries: retry{first: healthEvery, last: time.Minute},
	}
}

func (h *health) run(ctx context.Context) error {
	every(ctx, func(ctx context.Context) time.Duration {
		if err := h.look(ctx); err != nil && ctx.Err() == nil {
			return h.tries.failed(h.Log, "the health of the node cannot be kept", err)
		}
		h.tries.succeeded()
		return jitter(healthEvery)
	})
	return nil
}

func (h *health) look(ctx context.Context) error {
	units := h.units()
	if len(units) == 0 {
		return nil
	}
	silent := map[string]error{}
	for _, unit := range units {
		switch unit.Name {
		case layout.UnitContainerd:
			silent[unit.Name] = within(ctx, runtimeTimeout, h.Host.Images.Ready)
		case layout.UnitKubelet:
			silent[unit.Name] = h.Probe(ctx, kubeletHealth())
		}
	}
	if err := h.awaken(ctx, silent); err != nil {
		return err
	}
	if time.Since(h.looked) < h.config.Controllers.SystemdUnitCheck.SyncPeriod.Duration-healthEvery/2 {
		return nil
	}
	found, err := h.judge(ctx, units, silent)
	if err != nil {
		return err
	}
	h.looked = time.Now()
	return h.tell(ctx, found)
}

// awaken restarts what runs and does not answer, less and less often.
func (h *health) awaken(ctx context.Context, silent map[string]error) error {
	for unit, because := range silent {
		if because == nil {
			h.bad[unit] = 0
			continue
		}
		if h.bad[unit]++; h.bad[unit] < healthTries || h.spare.is(unit) {
			continue
		}
		h.spare.started([]string{unit})
		if err := h.restart(ctx, unit, fmt.Sprintf("%s does not answer and is restarted: %s", unit, because)); err != nil {
			return err
		}
	}
	return nil
}

// restart restarts a unit that is up: one that is down is the keeper's.
func (h *health) restart(ctx context.Context, unit, because string) error {
	h.hands.Lock()
	defer h.hands.Unlock()
	state, err := h.Host.Units.State(ctx, unit)
	if err != nil || state.Active == "inactive" || state.Active == "failed" {
		return err
	}
	h.events.warn("UnitRestarted", because)
	return h.daemon.restart(ctx, unit)
}

// judge makes the condition from the units' states, and restarts those that are stuck between two of them.
func (h *health) judge(ctx context.Context, units []agent.Unit, silent map[string]error) (corev1.NodeCondition, error) {
	var unwell, moving []string
	for _, unit := range units {
		state, err := h.Host.Units.State(ctx, unit.Name)
		if err != nil {
			return corev1.NodeCondition{}, err
		}
		between := state.Active == "activating" || state.Active == "deactivating" || state.Active == "reloading"
		if !between {
			delete(h.moving, unit.Name)
		} else if h.moving[unit.Name].IsZero() {
			h.moving[unit.Name] = time.Now()
		}
		switch {
		case between && time.Since(h.moving[unit.Name]) > h.config.Controllers.SystemdUnitCheck.StuckThreshold.Duration:
			unwell = append(unwell, unit.Name+" is stuck in "+state.Active)
			if err := h.unstick(ctx, unit.Name, state.Active); err != nil {
				return corev1.NodeCondition{}, err
			}
		case between:
			moving = append(moving, unit.Name+" is "+state.Active)
		case unit.Down(state):
			unwell = append(unwell, unit.Name+" is "+state.Active)
		case silent[unit.Name] != nil && h.bad[unit.Name] > 1:
			unwell = append(unwell, unit.Name+" does not answer")
		}
	}
	h.forgive(silent)
	return verdict(unwell, moving), nil
}

// forgive forgets the restarts of units that have been well since.
func (h *health) forgive(silent map[string]error) {
	bad := slices.Collect(maps.Keys(h.moving))
	for unit, because := range silent {
		if because != nil {
			bad = append(bad, unit)
		}
	}
	h.spare.look(bad)
}

func (h *health) unstick(ctx context.Context, unit, state string) error {
	if h.spare.is(unit) {
		return nil
	}
	h.spare.started([]string{unit})
	return h.restart(ctx, unit, fmt.Sprintf("%s is stuck in %s and is restarted", unit, state))
}

func verdict(unwell, moving []string) corev1.NodeCondition {
	out := corev1.NodeCondition{
		Type: nodeagentv1alpha1.ConditionTypeSystemdUnitsReady, Status: corev1.ConditionTrue, Reason: reasonHealthy, Message: "all units are well",
	}
	switch {
	case len(unwell) > 0:
		out.Status, out.Reason, out.Message = corev1.ConditionFalse, reasonUnhealthy, list(unwell)
	case len(moving) > 0:
		out.Status, out.Reason, out.Message = corev1.ConditionUnknown, reasonProgressing, list(moving)
	}
	return out
}

// tell writes the condition when it is another one than the Node has.
func (h *health) tell(ctx context.Context, found corev1.NodeCondition) error {
	node := h.self.get()
	if node == nil {
		return nil
	}
	now := metav1.Now()
	found.LastHeartbeatTime, found.LastTransitionTime = now, now
	if known := conditionOf(node, found.Type); known != nil {
		if known.Status == found.Status && known.Reason == found.Reason && known.Message == found.Message {
			return nil
		}
		if known.Status == found.Status {
			found.LastTransitionTime = known.LastTransitionTime
		}
	}
	return h.self.condition(ctx, found)
}
