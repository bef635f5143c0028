package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Run runs each task as soon as those before it are done or skipped, and returns when no task runs any more.
//
// When a task fails, no other one starts and those that run are cancelled with the failure as context.Cause: whoever
// waits for this command should hear of the failure now, not after somebody else's five minutes, and every step can be
// stopped and run again. The error joins all real failures, the first one first. The end of ctx stops a run the same
// way; the error is then ErrCancelled or ErrTimeout and wraps context.Cause. A task that ignores its context is waited
// for: nothing may go on working behind the back of what comes next.
func (g *Graph) Run(ctx context.Context, o Observer) error {
	r := &run{graph: g, reporter: reporter{flow: g.name, to: o}, began: time.Now(), outer: ctx}
	r.report(Event{Kind: FlowStarted}, time.Time{})
	err := errors.Join(g.misuses...)
	if err == nil {
		err = r.all()
	}
	if err != nil {
		r.report(Event{Kind: FlowFailed, Err: err}, r.began)
		return err
	}
	r.report(Event{Kind: FlowDone}, r.began)
	return nil
}

// run is one run of a graph. Only the goroutine of Run touches its fields; tasks answer over a channel.
type run struct {
	reporter
	graph *Graph
	began time.Time
	outer context.Context // the caller's

	failures []error  // in the order in which they came
	stopped  bool     // outer ended before the first failure
	notes    []string // what running tasks said when outer ended
}

type result struct {
	task *Task
	why  string
	err  error
	took time.Duration
	// Whether the run's and the caller's context had ended when the task did. By the time that Run hears of it, a real
	// failure could look like Ctrl-C.
	ended, outerEnded bool
}

func (r *run) all() error {
	ctx, cancel := context.WithCancelCause(r.outer)
	defer cancel(nil)

	pending := slices.Clone(r.graph.tasks)
	finished := map[*Task]bool{}
	results := make(chan result)
	running := 0
	for {
		if ctx.Err() == nil {
			pending = slices.DeleteFunc(pending, func(t *Task) bool {
				// Asked again for each: an observer of the one before may have cancelled.
				if ctx.Err() != nil || slices.ContainsFunc(t.after, func(a *Task) bool { return !finished[a] }) {
					return false
				}
				running++
				r.start(ctx, t, results)
				return true
			})
		}
		if running == 0 {
			return r.verdict(pending)
		}
		res := <-results
		running--
		if r.take(res, context.Cause(ctx)) {
			finished[res.task] = true
		} else {
			cancel(&siblingError{&TaskError{r.graph.name, res.task.name, res.err}})
		}
	}
}

// start reports before it runs: what an observer writes is on disk when the task begins.
func (r *run) start(ctx context.Context, t *Task, results chan<- result) {
	r.report(Event{Task: t.name, Kind: Started}, time.Time{})
	began := time.Now()
	go func() {
		res := result{task: t, err: errGoexit}
		defer func() {
			// In this order: what ended because of the caller's context has to find that one ended too.
			res.took, res.ended = time.Since(began), ctx.Err() != nil
			res.outerEnded = r.outer.Err() != nil
			results <- res
		}()
		res.why, res.err = t.step.do(withScope(ctx, scope{&r.reporter, t.name, began}))
	}()
}

// take reports how a task ended and says whether those after it may start. cause is why the run is ending, if it is.
func (r *run) take(res result, cause error) bool {
	e := Event{Task: res.task.name, Took: res.took, Why: res.why, Err: res.err, Kind: Done}
	switch {
	case res.err == nil && res.why != "":
		e.Kind = Skipped
	case res.err == nil:
	case res.ended && isStop(res.err):
		e.Kind, e.Err = Cancelled, &interruptedError{cause: cause, last: said(res.err)}
	default:
		e.Kind = Failed
	}
	r.report(e, time.Time{})
	if res.err == nil {
		return true
	}
	if res.outerEnded && len(r.failures) == 0 {
		r.stopped = true
	}
	if e.Kind == Failed {
		r.failures = append(r.failures, &TaskError{r.graph.name, res.task.name, res.err})
	}
	r.notes = append(r.notes, fmt.Sprintf("task %q: %s", res.task.name, note(res.err)))
	return false
}

// verdict is the error of the whole run.
func (r *run) verdict(pending []*Task) error {
	switch {
	case !r.stopped && len(r.failures) > 0:
		return errors.Join(r.failures...)
	case r.stopped:
		return &runStoppedError{flow: r.graph.name, cause: context.Cause(r.outer), notes: r.notes, late: r.failures}
	case len(pending) > 0:
		next := fmt.Sprintf("before task %q", pending[0].name)
		return &runStoppedError{flow: r.graph.name, cause: context.Cause(r.outer), notes: []string{next}}
	}
	return nil
}

// note is what a stopped task has to add to the cause, which the flow's error names already.
func note(err error) string {
	if last := said(err); last != nil {
		return last.Error()
	}
	return "stopped"
}
