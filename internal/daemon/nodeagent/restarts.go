package nodeagent

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// annotationRestart on a Node names units to be restarted, separated by commas (contract node-agent-and-osc §6.4).
const annotationRestart = "worker.gardener.cloud/restart-systemd-services"

// restarts restarts the units that the Node asks for.
type restarts struct {
	*daemon
	mu    sync.Mutex
	asked string
	wake  chan struct{}
	// done is the wish that was granted and may still stand on the Node.
	done string
}

func newRestarts(d *daemon) *restarts {
	r := &restarts{daemon: d, wake: make(chan struct{}, 1)}
	d.self.onChange(r.hear)
	return r
}

func (r *restarts) hear(node *corev1.Node) {
	asked := ""
	if node != nil {
		asked = node.Annotations[annotationRestart]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = asked
	if asked == "" {
		r.done = ""
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *restarts) run(ctx context.Context) error {
	tries := retry{first: time.Second, last: time.Minute}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		for {
			leave, err := r.grant(ctx)
			if leave {
				return ErrRestart
			}
			if err == nil {
				break
			}
			if !sleep(ctx, tries.failed(r.Log, "a restart that was asked for cannot be done", err)) {
				return nil
			}
		}
		tries.succeeded()
	}
}

// grant restarts each unit once, also when the API does not take note of it at once. leave says that the agent is one of them.
func (r *restarts) grant(ctx context.Context) (leave bool, err error) {
	r.mu.Lock()
	asked, done := r.asked, r.done
	r.mu.Unlock()
	if asked == "" {
		return false, nil
	}
	units := unitsOf(asked)
	if asked != done {
		r.restart(ctx, units)
		r.mu.Lock()
		r.done = asked
		r.mu.Unlock()
	}
	if err := r.self.change(ctx, nil, map[string]*string{annotationRestart: nil}); err != nil {
		return false, err
	}
	return slices.Contains(units, layout.UnitNodeAgent), nil
}

// restart goes on after a unit that fails: the others were asked for, too.
func (r *restarts) restart(ctx context.Context, units []string) {
	r.hands.Lock()
	defer r.hands.Unlock()
	for _, unit := range units {
		if unit == layout.UnitNodeAgent {
			continue
		}
		if err := r.daemon.restart(ctx, unit); err != nil {
			r.events.warn("UnitRestartFailed", err.Error())
			continue
		}
		r.events.normal("UnitRestarted", unit+" is restarted, as the Node asks")
	}
}

// unitsOf leaves out what is no name of a unit; one without a kind is a service.
func unitsOf(text string) []string {
	var out []string
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name != path.Base(name) || strings.HasPrefix(name, ".") {
			continue
		}
		if path.Ext(name) == "" {
			name += ".service"
		}
		out = append(out, name)
	}
	return out
}
