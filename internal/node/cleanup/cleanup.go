// Package cleanup turns a node back into the machine that it was: ordered steps that take away what gardenadm and its pods put there.
// Used by reset after the node was drained; it needs no API.
package cleanup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// EtcdData says what becomes of the data of etcd on a control plane node: it may be the last copy of a cluster.
type EtcdData string

const (
	// Undecided refuses to begin where there is such data.
	Undecided EtcdData = ""
	Keep      EtcdData = "keep"
	Remove    EtcdData = "remove"
)

// Options are what the machine does not know by itself.
type Options struct {
	EtcdData EtcdData
	// Networks are those of pods and services, whose routes go. Those that the machine's own files tell are known without.
	Networks []netip.Prefix
	// Grace is how long containers may take to end by themselves; the default is three seconds.
	Grace time.Duration
}

// Step is one part of the work. A step may be run again at any time, and after any failure of itself or another one.
type Step struct {
	Name string
	Run  func(context.Context) error
}

// Cleanup is the work on one machine. Its steps are run one after the other.
type Cleanup struct {
	*host.Host
	options Options
	found   *found // by the first step; nil until then
	errs    []error
	// forgetful is why another run knows less, which counts when there must be one: a full disk has room after this one.
	forgetful error
	removed   map[string]bool // paths, by this run
}

// New returns the work that is to be done; nothing is looked at yet.
func New(h *host.Host, options Options) *Cleanup {
	if options.Grace == 0 {
		options.Grace = 3 * time.Second
	}
	return &Cleanup{Host: h, options: options, removed: map[string]bool{}}
}

// limit ends a step that hangs: a unit may take 90 seconds to stop, and another tool may hold a lock for good.
const limit = 3 * time.Minute

// Steps returns them in their order. The first one looks, changes nothing, and refuses what would lose somebody's data with a fault;
// then the others do nothing. All others are to be run whatever became of those before: each takes away what it can. Only the last one,
// which forgets what the machine was and what is gardenadm's on it, does nothing after a failure, so that all can be run again.
func (c *Cleanup) Steps() []Step {
	work := []Step{
		{"stop kubelet and gardenadm's services", c.stopUnits},
		{"remove the pods", c.removePods},
		{"end what is left of the pods", c.killPods},
		{"clean up the container runtime", c.clearRuntime},
		{"unmount volumes", c.unmount},
		{"take down the pod network", c.removeNetwork},
		{"remove packet filter rules", c.removeFilters},
		{"restore kernel settings", c.restoreSettings},
		{"remove services", c.removeUnits},
		{"remove files", c.removeFiles},
		{"remove etcd's data", c.removeEtcdData},
		{"restore the machine's own services", c.restoreUnits},
		{"forget the cluster", c.forget},
	}
	steps := []Step{{"look at this machine", c.look}}
	for _, step := range work {
		steps = append(steps, Step{step.Name, func(ctx context.Context) error { return c.work(ctx, step) }})
	}
	return steps
}

// work runs a step within its time and remembers how it ended.
func (c *Cleanup) work(ctx context.Context, step Step) error {
	if c.found == nil || c.found.nothing {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	err := step.Run(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w", step.Name, err)
		c.errs = append(c.errs, err)
	}
	return err
}

// Run runs all steps, after each of whose names started is called (nil for nobody), and returns all that went wrong.
func (c *Cleanup) Run(ctx context.Context, started func(name string)) error {
	for _, step := range c.Steps() {
		if ctx.Err() != nil {
			return errors.Join(append(c.errs, context.Cause(ctx))...)
		}
		if started != nil {
			started(step.Name)
		}
		if err := step.Run(ctx); err != nil && c.found == nil {
			return err
		}
	}
	return c.Err()
}

// Err joins what went wrong in the steps that were run, each with its step's name.
func (c *Cleanup) Err() error {
	if len(c.errs) == 0 {
		return nil
	}
	return errors.Join(append(c.errs, c.forgetful)...)
}

// Nothing says, after the first step, that there is nothing of gardenadm's on this machine.
func (c *Cleanup) Nothing() bool { return c.found != nil && c.found.nothing }
