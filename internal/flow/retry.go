package flow

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// retry repeats the attempt until it succeeds, fails for good, or the time is over. The last real cause is kept: when
// the end of the context cuts an attempt short, what that attempt says is only an echo of the end.
func retry(outer context.Context, within, every time.Duration, attempt func(context.Context) error) error {
	deadline := time.Now().Add(within)
	ctx, cancel := context.WithDeadline(outer, deadline)
	defer cancel()

	var last error
	for n := 1; ; n++ {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		if p := (*permanentError)(nil); errors.As(err, &p) {
			return err
		}
		if cause := said(err); cause != nil && (last == nil || ctx.Err() == nil || !isEcho(cause)) {
			last = cause
		}
		if outer.Err() != nil {
			return &interruptedError{cause: context.Cause(outer), last: last}
		}
		// A pause that ends after the deadline would be time lost for nothing.
		if ctx.Err() != nil || time.Until(deadline) <= every {
			return &TimeoutError{Within: within, Attempts: n, Last: last}
		}
		reportWaiting(ctx, last)
		if !pause(ctx, every) && outer.Err() != nil {
			return &interruptedError{cause: context.Cause(outer), last: last}
		}
	}
}

// pause returns false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// scope is what a step's context knows of the task that it is part of.
type scope struct {
	report *reporter
	task   string
	began  time.Time
}

type scopeKey struct{}

func withScope(ctx context.Context, s scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// reportWaiting goes by way of the context because a wait may be deep within Sequential and Parallel.
func reportWaiting(ctx context.Context, cause error) {
	if s, ok := ctx.Value(scopeKey{}).(scope); ok {
		s.report.report(Event{Task: s.task, Kind: Waiting, Err: cause}, s.began)
	}
}

func wrap(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }
