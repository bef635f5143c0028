package flow

import (
	"sync"
	"time"
)

// Kind says what happened. Its text is what logs and journals show, so it stays as it is once released.
type Kind string

// A flow begins with FlowStarted and ends with FlowDone or FlowFailed. A task that began ends with exactly one of
// Skipped, Done, Failed and Cancelled; a task that never began has no event.
//
//	Started ──┬──▶ Waiting ──┐ (an attempt failed and will be repeated)
//	          │ ▲            │
//	          │ └────────────┘
//	          └──▶ Skipped | Done | Failed | Cancelled
const (
	FlowStarted Kind = "flow-started"
	FlowDone    Kind = "flow-done"
	FlowFailed  Kind = "flow-failed"

	Started   Kind = "started"
	Waiting   Kind = "waiting"
	Skipped   Kind = "skipped"
	Done      Kind = "done"
	Failed    Kind = "failed"
	Cancelled Kind = "cancelled"
)

// Event is one thing that happened in a flow. It carries names, times and errors only, never what a task works on,
// so that it can be shown and kept anywhere.
type Event struct {
	Flow string
	Task string // empty for the flow's own events
	Kind Kind
	At   time.Time
	Took time.Duration // since the task (or the flow) started
	Why  string        // the reason of Skipped
	Err  error         // the cause of Waiting, Failed, Cancelled and FlowFailed
}

// Observer hears of each event. Events come one at a time and in order of At, and the flow waits until Observe
// returns: what an observer has written by the end of a Started event is there before the task runs.
type Observer interface{ Observe(Event) }

// ObserverFunc makes an Observer of a function.
type ObserverFunc func(Event)

// Observe calls the function.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Observers is an Observer that tells all of them in order; nil ones are left out.
func Observers(all ...Observer) Observer {
	var kept list
	for _, o := range all {
		if o != nil {
			kept = append(kept, o)
		}
	}
	return kept
}

type list []Observer

func (l list) Observe(e Event) {
	for _, o := range l {
		o.Observe(e)
	}
}

// reporter hands the events of one flow to its observer, one at a time.
type reporter struct {
	flow string
	to   Observer
	mu   sync.Mutex
}

// report stamps the event while it holds the lock, so that times never run backwards.
func (r *reporter) report(e Event, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Flow, e.At = r.flow, time.Now()
	if !began.IsZero() {
		e.Took = e.At.Sub(began)
	}
	if r.to != nil {
		r.to.Observe(e)
	}
}
