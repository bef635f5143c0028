package sequence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

const (
	// askWait is how long the cluster may take to answer; without an answer the machine is taken back all the same.
	askWait = 15 * time.Second
	// oneAsk ends a question that hangs, so that it is asked again.
	oneAsk = 4 * time.Second
	// leaveWait is how long the gardenlet may take; another one takes the lead within its lease's 30 seconds.
	leaveWait  = 45 * time.Second
	leaveEvery = 250 * time.Millisecond
	drainEvery = time.Second
)

// Reset is the story of a machine that stops being a node: the inputs, and what one task leaves for the next.
type Reset struct {
	Host *host.Host
	// EtcdData says what becomes of etcd's data on a control plane node.
	EtcdData cleanup.EtcdData
	// Force loses pods that cannot run elsewhere, does without waiting for others, and leaves other nodes without a control plane.
	Force bool
	// Timeout is how long pods may take to leave.
	Timeout time.Duration
	// Connect makes a client of a kubeconfig; nil stands for one of the real API.
	Connect func(kubeconfig []byte) (client.Client, error)

	// Undone is what could not be done in the cluster, a line each with what does it.
	Undone []string
	// Left is what differs on the machine from its record when all was done, without what is tolerated and what was to be kept.
	// Recorded says that there is a record.
	Left     []record.Difference
	Recorded bool

	cleanup     *cleanup.Cleanup
	name        string
	credentials hoststep.Credentials
	api         client.Client // nil when there is nothing to be asked, or it does not answer
	member      bool          // the cluster had a Node of this machine when it was asked
	left        bool          // an earlier run was done with the cluster
}

// Run runs the story. Only one command runs on this machine at a time. A run that failed or was killed is simply run again.
func (r *Reset) Run(ctx context.Context, o flow.Observer) error {
	unlock, err := hoststep.Lock(ctx, r.Host)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	return r.Graph().Run(ctx, o)
}

// Nothing says, after Run, that the machine was no node.
func (r *Reset) Nothing() bool { return r.cleanup != nil && r.cleanup.Nothing() }

// Graph declares the work: first the cluster, as long as this machine can still ask it; then the machine, without the cluster.
func (r *Reset) Graph() *flow.Graph {
	r.cleanup = cleanup.New(r.Host, cleanup.Options{EtcdData: r.EtcdData})
	steps := r.cleanup.Steps()
	look, work, forget := steps[0], steps[1:len(steps)-1], steps[len(steps)-1]

	g := flow.New("reset")
	last := g.Add(look.Name, flow.Do(hoststep.Explained(look.Run)))
	then := func(name string, step flow.Step, unless func(context.Context) (string, error)) {
		last = g.Add(name, step.Unless(unless), last)
	}
	then("ask the cluster", patient(flow.Do(hoststep.Explained(r.ask)).Retry(askWait, tryAgain), r.unasked), r.hasLeft)
	then("move the pods elsewhere", r.drained(), r.notDrainable)
	then("stop the kubelet and the node agent", flow.Do(r.stopNode), r.nothing)
	then("leave the cluster", patient(flow.Do(r.leave).Retry(leaveWait, leaveEvery), r.unleft), r.notLeaving)
	then("remember how the cluster was left", flow.Do(r.keepLeft), r.hasLeft)
	for _, step := range work {
		then(step.Name, flow.Do(regardless(step.Run)), r.nothing)
	}
	then(forget.Name, flow.Do(hoststep.Explained(r.whole(forget.Run))), r.nothing)
	g.Add("compare this machine with its record", flow.Do(r.compare), last)
	return g
}

// regardless lets the next step of the cleanup begin whatever became of this one: the cleanup keeps it.
func regardless(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		_ = run(ctx)
		return context.Cause(ctx)
	}
}

// whole runs the last step of the cleanup and returns what went wrong in any of them.
func (r *Reset) whole(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		_ = run(ctx)
		return r.cleanup.Err()
	}
}

// patient lets the work go on when a step is not done in its time, and says so.
func patient(step flow.Step, late func(cause error)) flow.Step {
	within := flow.Sequential(step)
	return flow.Do(func(ctx context.Context) error {
		err := within.Run(ctx)
		if timeout := (*flow.TimeoutError)(nil); ctx.Err() == nil && errors.As(err, &timeout) {
			late(timeout.Last)
			return nil
		}
		return err
	})
}

// undone notes what this machine could not do.
func (r *Reset) undone(format string, args ...any) {
	r.Undone = append(r.Undone, fmt.Sprintf(format, args...))
}

func (r *Reset) unasked(cause error) {
	if r.credentials.Admin != nil {
		r.undone("the API server does not answer. If the cluster has other nodes, they have no control plane any more: gardenadm reset on each of them (%v)", cause)
		return
	}
	r.undone("the cluster does not answer, and may still have node %[1]s. On a control plane node: gardenadm node remove %[1]s --force (%[2]v)", r.name, cause)
}

func (r *Reset) unleft(cause error) {
	r.undone("the cluster still has node %[1]s. On a control plane node: gardenadm node remove %[1]s --force (%[2]v)", r.name, cause)
}

func (r *Reset) unmoved(cause error) {
	r.undone("pods were not moved elsewhere; they ended with the machine (%v)", cause)
}

func (r *Reset) nothing(context.Context) (string, error) {
	if r.cleanup.Nothing() {
		return "nothing of gardenadm's is on this machine", nil
	}
	return "", nil
}

// hasLeft ends what an earlier run has done, which may have taken away the means to do it again.
func (r *Reset) hasLeft(ctx context.Context) (string, error) {
	why, err := r.nothing(ctx)
	if why != "" || err != nil {
		return why, err
	}
	undone, left, err := hoststep.HasLeft(ctx, r.Host)
	if !left || err != nil {
		return "", err
	}
	r.Undone, r.left = undone, true
	return "an earlier run did this", nil
}

// keepLeft spares another run the questions. It may fail: the disk may be full, which is why somebody resets a machine.
func (r *Reset) keepLeft(ctx context.Context) error {
	_ = hoststep.KeepLeft(ctx, r.Host, r.Undone)
	return context.Cause(ctx)
}

// notLeaving: only a worker leaves a cluster, one that it can ask. Whether the cluster has a Node of it is looked at again: until it was
// stopped, a kubelet may have made one.
func (r *Reset) notLeaving(ctx context.Context) (string, error) {
	why, err := r.nothing(ctx)
	switch {
	case why != "" || err != nil:
	case r.left:
		why = "an earlier run did this"
	case r.credentials.Admin != nil:
		why = "the cluster ends with its control plane"
	case r.api == nil:
		why = "there is no cluster that can be asked"
	}
	return why, err
}

// notDrainable: without a kubelet nobody would end the pods; an earlier run has moved them, or they do not run.
func (r *Reset) notDrainable(ctx context.Context) (string, error) {
	why, err := r.notLeaving(ctx)
	switch {
	case why != "" || err != nil:
	case !r.member:
		why = "the cluster has no such node"
	case !hoststep.KubeletRuns(ctx, r.Host):
		why = "the kubelet does not run"
	}
	return why, err
}

func (r *Reset) stopNode(ctx context.Context) error { return hoststep.StopNode(ctx, r.Host) }

// compare proves what was done.
func (r *Reset) compare(ctx context.Context) error {
	differences, known, err := record.Verify(ctx, r.Host)
	if err != nil {
		return err
	}
	r.Recorded = known
	r.Left = slices.DeleteFunc(record.Leftovers(differences), func(d record.Difference) bool {
		return r.EtcdData == cleanup.Keep && strings.HasPrefix(d.Item+"/", layout.DirEtcd+"/")
	})
	return nil
}
