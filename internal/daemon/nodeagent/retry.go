package nodeagent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// retry says when to try again, and complains of each reason once.
type retry struct {
	first, last time.Duration
	// patient: until it succeeds for the first time, one reason is enough. An API that comes up has many.
	patient bool
	next    time.Duration
	said    string
	saidAt  time.Time
}

// quietFor is for how long after a complaint another reason is not told: an API that restarts has one for each request.
const quietFor = time.Minute

// failed returns the pause until the next try: twice that of the one before, up to the last. A failure that is told already is not
// told again.
func (r *retry) failed(log *slog.Logger, what string, err error) time.Duration {
	text := err.Error()
	if r.said == "" || text != r.said && !r.patient && time.Since(r.saidAt) > quietFor {
		log.Warn(what, "error", err)
		r.said, r.saidAt = text, time.Now()
	}
	pause := max(r.first, r.next)
	r.next = min(2*pause, r.last)
	return jitter(pause)
}

func (r *retry) succeeded() { r.next, r.said, r.patient = 0, "", false }

// jitter is the duration, more or less a tenth: many nodes must not ask at the same moment.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// within bounds what is done: somebody who hangs is to be an error like others.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// restart restarts a unit. The caller holds the hands.
func (d *daemon) restart(ctx context.Context, unit string) error {
	return within(ctx, changeTimeout, func(ctx context.Context) error { return d.Host.Units.Restart(ctx, unit) })
}

// sleep is false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// every calls look until the context ends, with the pause that it returns.
func every(ctx context.Context, look func(context.Context) time.Duration) {
	for sleep(ctx, look(ctx)) {
	}
}
