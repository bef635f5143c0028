package diagnosis

import (
	"context"
	"maps"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// When a fault is definite: the same component failed so often, or for so long, with the same cause.
const (
	enoughRuns   = 3
	patience     = 20 * time.Second
	longPatience = 90 * time.Second // for what healthy components say too while they start
	// agentPatience is for what the node agent mends: it gives the kubelet the grace of a pod and half a minute more.
	agentPatience = 3 * time.Minute
	// memory is for how long the runs of what is not seen any more count.
	memory = time.Minute
	// between is the pause between two looks: a look costs more than the question whether the API server answers.
	between = 2 * time.Second
)

// Watch looks at a host again and again while something is waited for, and tells a failure from a slow start. The zero value
// with a Scope is ready for use; it is for one wait, by one goroutine.
type Watch struct {
	Scope Scope

	looked  time.Time
	seen    map[sightingKey]*sighting
	current *fault.Error
}

type sightingKey struct {
	component string
	code      fault.Code
}

// sighting is what is remembered of a fault.
type sighting struct {
	// since is when it was seen first without a gap, last when it was seen last.
	since, last time.Time
	// runs are the runs that failed so, also those with a gap between.
	runs map[string]bool
}

// Look looks at the host, at most every two seconds. It returns the most likely fault, nil when nothing is seen, and whether
// the fault is definite: waiting longer will not help.
func (w *Watch) Look(ctx context.Context, h *host.Host) (found *fault.Error, definite bool) {
	now := time.Now()
	if !w.looked.IsZero() && now.Sub(w.looked) < between {
		return w.current, false
	}
	before := w.looked
	w.looked = now
	suspects := examine(ctx, h, w.Scope, now)
	if ctx.Err() != nil {
		return w.current, false // the look was cut short
	}
	w.current = nil
	if len(suspects) > 0 {
		w.current = suspects[0].fault
	}
	w.remember(suspects, before, now)
	for _, s := range suspects {
		if awaited(w.Scope, s.component) && w.definite(s, now) {
			w.current = s.fault
			return s.fault, true
		}
	}
	return w.current, false
}

// remember notes what is seen now. What is seen again after a gap has recovered meanwhile, or runs for some seconds each time:
// its time begins anew, its failed runs count for a minute more.
func (w *Watch) remember(suspects []suspect, before, now time.Time) {
	if w.seen == nil {
		w.seen = map[sightingKey]*sighting{}
	}
	for _, s := range suspects {
		key := sightingKey{s.component, s.fault.Code}
		known := w.seen[key]
		if known == nil {
			known = &sighting{runs: map[string]bool{}}
			w.seen[key] = known
		}
		if known.last.Before(before) || known.since.IsZero() {
			known.since = now
		}
		known.last = now
		if s.run != "" {
			known.runs[s.run] = true
		}
	}
	maps.DeleteFunc(w.seen, func(_ sightingKey, known *sighting) bool { return now.Sub(known.last) > memory })
}

func (w *Watch) definite(s suspect, now time.Time) bool {
	known := w.seen[sightingKey{s.component, s.fault.Code}]
	limit := patience
	if s.soft {
		limit = longPatience
		if s.fault.Code != general(s.component) {
			limit = longPatience / 2
		}
	}
	if s.fault.Code == fault.ManifestIgnored {
		limit = agentPatience
	}
	return len(known.runs) >= enoughRuns || now.Sub(known.since) >= limit
}
