package proxy

import (
	"errors"
	"time"
)

// Health is what probes and connections tell about an API server.
type Health string

const (
	// Unknown: it was not asked yet.
	Unknown Health = "unknown"
	// Ready: it takes connections.
	Ready Health = "ready"
	// Draining: it says that it is shutting down. It gets no new connections; the open ones it ends itself, without a
	// failed request.
	Draining Health = "draining"
	// Unready: it answers that it is not ready, and will not leave. Its connections move to ready ones within ten seconds.
	Unready Health = "unready"
	// Dead: it does not answer, or something else does. Its connections are reset as soon as another server is ready.
	Dead Health = "dead"
)

// Hysteresis: how many answers in a row change a mind that was made up.
const (
	fall = 2
	rise = 2
)

// answer is what became of one attempt to reach an API server.
type answer int

const (
	// none says nothing about the server: the attempt was broken off, or failed on this side.
	none answer = iota
	ready
	draining
	unready
	// refused is certain at once: nobody listens, or a stranger does.
	refused
	// failed is anything else: no answer in time, a broken connection, no route.
	failed
)

// outcome is an answer with the reason of a bad one.
type outcome struct {
	answer answer
	err    error
}

// record is the health of one API server, as a pure function of outcomes.
type record struct {
	health Health
	since  time.Time
	// last is the reason of the last bad outcome; nil while ready.
	last error
	// good and bad count outcomes in a row.
	good, bad int
	// answered is when it was last found ready; trouble is when it first was not, since then, zero for never.
	answered, trouble time.Time
	// graceful: it left after it had said so.
	graceful bool
}

// see takes an outcome in and says whether the health changed.
func (r *record) see(o outcome, now time.Time) bool {
	if o.answer == none {
		return false
	}
	if o.answer != ready && r.trouble.IsZero() {
		r.trouble = now
	}
	before := r.health
	switch o.answer {
	case ready:
		r.answered = now
		r.good, r.bad = r.good+1, 0
		if r.health == Unknown || r.good >= rise {
			r.health = Ready
		}
	case draining:
		r.good, r.bad = 0, 0
		r.health = Draining
	case unready:
		r.good, r.bad = 0, r.bad+1
		if r.bad >= fall || r.health != Ready {
			r.health = Unready
		}
	case refused:
		r.good, r.bad = 0, fall
		r.graceful = r.health == Draining || r.health == Dead && r.graceful
		r.health = Dead
	case failed:
		r.good, r.bad = 0, r.bad+1
		if r.bad >= fall || r.health == Unknown {
			r.health, r.graceful = Dead, false
		}
	}
	switch {
	case o.answer != ready:
		r.last = o.err
	case r.health == Ready:
		r.last, r.trouble = nil, time.Time{}
	}
	if r.health == before {
		return false
	}
	r.since = now
	return true
}

// suspect says that one more bad answer changes the health.
func (r *record) suspect() bool { return r.bad > 0 && r.bad < fall }

// condemned says that open connections have no future here.
func (r *record) condemned() bool {
	return r.health == Unready || r.health == Dead && !r.graceful
}

// reason is the last bad outcome in words, "" for none.
func (r *record) reason() string {
	if r.last == nil {
		return ""
	}
	return r.last.Error()
}

var errSilent = errors.New("no answer in time")
