package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	// soon is the pause while the node is not yet as it should be.
	soon = 2 * time.Second
	// syncRetry bounds the pause after failures: drift is healed within a minute.
	syncRetry = 30 * time.Second
	// changeTimeout bounds one change of the host: a unit or a mirror that hangs must not keep others from the hands.
	changeTimeout = 10 * time.Minute
	// factsFor is after which time the host's own additions are computed anew.
	factsFor = 10 * time.Minute
)

// keeper keeps the host as its pool's configuration says.
type keeper struct {
	*daemon
	agent  *agent.Agent
	newest *newest
	turn   *turn
	spare  *spare
	pods   pods
	trial  trial
	wake   chan struct{}
	tries  retry
	// waiting is what was last said to be waited for, changing what was last said to be changed.
	waiting, changing string

	mu      sync.Mutex // for those who look from outside
	kept    *desired   // what the host is kept at; nil on a new node
	wanted  agent.Want
	wantAge time.Time
	// settled: all that was applied has taken effect.
	settled bool
}

func newKeeper(d *daemon) *keeper {
	found := &newest{secret: d.config.Controllers.OperatingSystemConfig.SecretName, renamed: make(chan struct{}, 1)}
	k := &keeper{
		daemon: d, agent: agent.NewIn(*d.Host, d.Supply, layout.UnitNodeAgent), spare: newSpare(),
		newest: found, turn: newTurn(d, found.secretName),
		wake: make(chan struct{}, 1), tries: retry{first: soon, last: syncRetry},
	}
	d.self.onChange(func(node *corev1.Node) {
		k.newest.name(node)
		if k.expects(node) {
			k.rouse()
		}
	})
	return k
}

// rouse makes the keeper look at once.
func (k *keeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run first does what the node did last, with or without an API.
func (k *keeper) run(ctx context.Context) error {
	known, err := k.known(ctx, fileLastKnown)
	if err != nil {
		return err
	}
	if known != nil {
		want, err := k.want(ctx, known)
		if err == nil {
			err = k.take(ctx, known, want)
		}
		if err != nil {
			k.Log.Warn("the last known configuration cannot be used", "error", err)
		}
	}
	for {
		wait, err := k.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrRestart):
			return err
		case err != nil:
			k.events.warn("OSCFailed", host.WithoutJournals(err))
			wait = k.tries.failed(k.Log, "the node is not as it should be", err)
		default:
			k.tries.succeeded()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-time.After(wait):
		}
	}
}

// step brings the host a step nearer to what is desired, and returns when to look again. Whatever a newer configuration waits for or
// fails with, the host is kept at the one that it has.
func (k *keeper) step(ctx context.Context) (time.Duration, error) {
	wait, ahead, problem := k.advance(ctx)
	if k.kept == nil {
		k.say(ahead)
		return wait, problem
	}
	err := k.keep(ctx)
	switch {
	case errors.Is(err, ErrRestart) || ctx.Err() != nil:
		return 0, errors.Join(problem, err)
	case err != nil:
		return 0, errors.Join(problem, err, k.judgeAnyway(ctx))
	}
	lack, err := k.settle(ctx)
	switch {
	case err != nil:
		return 0, errors.Join(problem, err)
	case errors.Is(lack, errUnknownTurn):
		k.say(lack.Error())
		return min(wait, syncRetry), problem // the watch of the Node tells earlier that the API is back
	case lack != nil:
		k.say(lack.Error())
		_, err := k.goBack(ctx)
		return soon, errors.Join(problem, err)
	}
	if err := k.report(ctx); err != nil {
		wait, ahead = min(wait, turnPoll), "the API: "+err.Error()
	}
	k.say(ahead)
	return wait, errors.Join(problem, k.forgive(ctx))
}

// say tells what the node waits for, once.
func (k *keeper) say(what string) {
	if what != "" && what != k.waiting {
		k.Log.Info("waiting", "for", what)
	}
	k.waiting = what
}

// advance takes a newer configuration when it is time, or says what it waits for: until then, the host is kept at what it has.
func (k *keeper) advance(ctx context.Context) (wait time.Duration, ahead string, err error) {
	wait = jitter(k.config.Controllers.OperatingSystemConfig.SyncPeriod.Duration)
	next := k.newest.after(k.kept)
	if next == nil {
		return wait, ahead, nil
	}
	if delay := k.delay(next); delay > 0 {
		return min(delay, wait), fmt.Sprintf("its time to take configuration %.12s", next.checksum), nil
	}
	want, err := k.want(ctx, next)
	if err != nil {
		k.newest.refuse(next, err)
		return 0, "", err
	}
	if ahead, err := k.refuses(ctx, next, want); ahead != "" || err != nil {
		return wait, ahead, err
	}
	if next.serial {
		who, err := k.mayChange(ctx, want)
		if who != "" || err != nil {
			return turnPoll, who, err
		}
	}
	k.Log.Info("new configuration", "checksum", next.checksum)
	return wait, "", k.take(ctx, next, want)
}

// mayChange returns "" when it is this node's turn, or this host needs no change; otherwise it says whose turn it is, or why nobody knows.
func (k *keeper) mayChange(ctx context.Context, want agent.Want) (who string, err error) {
	plan, err := k.plan(ctx, want)
	if err != nil || !plan.Touches() {
		return "", err
	}
	who, err = k.turn.take(ctx)
	if err != nil {
		who = "the API: " + err.Error()
	}
	return who, nil
}

// take makes the configuration the one that the host is kept at, also after a restart.
func (k *keeper) take(ctx context.Context, next *desired, want agent.Want) error {
	if err := k.keepAs(ctx, fileLastKnown, next); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept, k.wanted, k.wantAge, k.settled = next, want, time.Now(), false
	k.pods.changed(want)
	k.onTrial()
	return nil
}

// keep makes the host what is wanted. What was so before and is so no more was changed by somebody else: that is reported.
func (k *keeper) keep(ctx context.Context) error {
	if time.Since(k.wantAge) > factsFor {
		if err := k.renewWant(ctx); err != nil {
			return err
		}
	}
	if err := k.keepAs(ctx, fileLastKnown, k.kept); err != nil {
		return err
	}
	k.hands.Lock()
	defer k.hands.Unlock()
	plan, err := k.plan(ctx, k.wanted)
	if err != nil {
		return err
	}
	k.spare.look(plan.Starts())
	plan = plan.WithoutStarting(k.spare.is)
	if plan.Empty() && !plan.Leave {
		return k.tidy(ctx)
	}
	err = k.apply(ctx, plan)
	if err == nil && plan.Leave {
		err = ErrRestart
	}
	return err
}

// tidy removes, once the host is what is wanted, layers that this run, a join or a killed one left: nobody takes files out of them any more.
func (k *keeper) tidy(ctx context.Context) error {
	if _, err := k.Host.Files.Stat(ctx, layout.DirPulled); err != nil {
		return nil
	}
	return k.Host.Files.Remove(ctx, layout.DirPulled)
}

func (k *keeper) plan(ctx context.Context, want agent.Want) (agent.Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return k.agent.Plan(ctx, want)
}

// apply does what the plan says, or of it what can be done. The caller holds the hands.
func (k *keeper) apply(ctx context.Context, plan agent.Plan) error {
	files, units := list(plan.Paths()), list(plan.Units())
	if what := files + "\n" + units; plan.Touches() && what != k.changing {
		k.Log.Info("change this host", "files", files, "units", units)
		k.changing = what
	}
	k.drifted(plan)
	k.unsettle()
	apply := func(plan agent.Plan) error {
		return within(ctx, changeTimeout, func(ctx context.Context) error { return k.agent.Apply(ctx, plan) })
	}
	err := apply(plan)
	if err != nil && ctx.Err() == nil {
		_ = apply(plan.WithoutImages()) // what fails comes again
	}
	if err == nil {
		k.changing = ""
	}
	k.spare.started(plan.Starts())
	return err
}

func (k *keeper) unsettle() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settled = false
	k.pods.changed(k.wanted)
}

func (k *keeper) renewWant(ctx context.Context) error {
	want, err := k.want(ctx, k.kept)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted, k.wantAge = want, time.Now()
	return nil
}

// drifted reports what the agent had to undo: paths and units, never contents. Units that are down while a machine boots are no news.
func (k *keeper) drifted(plan agent.Plan) {
	if paths := plan.Paths(); plan.Drift() && len(paths) > 0 {
		k.events.warn("FileDrift", "changed by somebody else: "+list(paths))
	}
	if units := plan.Starts(); k.settled && len(units) > 0 {
		k.events.warn("UnitsStarted", "were down: "+list(units))
	}
}

// made says that the host is kept at a configuration of the cluster's.
func (k *keeper) made() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept != nil
}

// units are those that the host is to have.
func (k *keeper) units() []agent.Unit {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wanted.Units
}
