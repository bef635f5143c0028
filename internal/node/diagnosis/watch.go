package diagnosis

import (
	"context"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// When a fault is definite: the same component failed so often, or for so long, with the same cause.
const (
	enoughRuns   = 3
	patience     = 20 * time.Second
	longPatience = 90 * time.Second // for what healthy components say too while they start
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

// sighting is what is remembered of a fault as long as it is seen.
type sighting struct {
	since time.Time
	runs  map[string]bool
}

// Look looks at the host, at most every two seconds. It returns the most likely fault, nil when nothing is seen, and whether
// the fault is definite: waiting longer will not help.
func (w *Watch) Look(ctx context.Context, h *host.Host) (found *fault.Error, definite bool) {
	now := time.Now()
	if !w.looked.IsZero() && now.Sub(w.looked) < between {
		return w.current, false
	}
	w.looked = now
	suspects := examine(ctx, h, w.Scope, now)
	if ctx.Err() != nil {
		return w.current, false // the look was cut short
	}
	w.current = nil
	if len(suspects) > 0 {
		w.current = suspects[0].fault
	}
	w.remember(suspects, now)
	for _, s := range suspects {
		if w.definite(s, now) {
			w.current = s.fault
			return s.fault, true
		}
	}
	return w.current, false
}

// remember notes what is seen now and forgets the rest: what recovered starts anew.
func (w *Watch) remember(suspects []suspect, now time.Time) {
	still := map[sightingKey]*sighting{}
	for _, s := range suspects {
		key := sightingKey{s.component, s.fault.Code}
		known := w.seen[key]
		if known == nil {
			known = &sighting{since: now, runs: map[string]bool{}}
		}
		if s.run != "" {
			known.runs[s.run] = true
		}
		still[key] = known
	}
	w.seen = still
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
	return len(known.runs) >= enoughRuns || now.Sub(known.since) >= limit
}
