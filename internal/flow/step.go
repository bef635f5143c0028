package flow

import (
	"context"
	"errors"
	"sync"
	"time"
)

// defaultEvery is the pause between two attempts when a step names none.
const defaultEvery = time.Second

// Step is what a task does. Steps are values: the methods return a changed copy.
type Step struct {
	// Run does the work. It is told to stop by its context and is run again after a failure when Within is set,
	// so it asks the world what is there already.
	Run func(context.Context) error
	// Skip is asked once, right before the first Run; a reason means that there is nothing to do.
	Skip func(context.Context) (why string, err error)
	// Within is the time for all attempts together, which also ends the attempt that is running then; 0 is one
	// attempt without a limit. An attempt that may hang bounds itself, or it will be the only one.
	Within time.Duration
	// Every is the pause between two attempts.
	Every time.Duration

	mode  string // how parts are run; only for String
	parts []Step
}

// Do is a step that runs the function once.
func Do(run func(context.Context) error) Step { return Step{Run: run} }

// Retry repeats the step until it succeeds, fails with a Permanent error, or the time is over.
func (s Step) Retry(within, every time.Duration) Step {
	s.Within, s.Every = within, every
	return s
}

// Unless skips the step when the function gives a reason. Of several, the first reason counts.
func (s Step) Unless(skip func(context.Context) (string, error)) Step {
	if earlier := s.Skip; earlier != nil {
		s.Skip = func(ctx context.Context) (string, error) {
			if why, err := earlier(ctx); why != "" || err != nil {
				return why, err
			}
			return skip(ctx)
		}
		return s
	}
	s.Skip = skip
	return s
}

// Sequential runs the steps one after the other until one fails. Each keeps its own retries; a part that is
// skipped is passed over without an event.
func Sequential(steps ...Step) Step {
	return Step{mode: "sequential", parts: steps, Run: func(ctx context.Context) error {
		for _, s := range steps {
			if err := context.Cause(ctx); err != nil {
				return &interruptedError{cause: err}
			}
			if _, err := s.do(ctx); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Parallel runs the steps at the same time. When one fails the others are cancelled; all real failures are joined.
func Parallel(steps ...Step) Step {
	return Step{mode: "parallel", parts: steps, Run: func(outer context.Context) error {
		ctx, cancel := context.WithCancelCause(outer)
		defer cancel(nil)
		var (
			wg       sync.WaitGroup
			mu       sync.Mutex
			failures []error // the first one is what stopped the others
		)
		for _, s := range steps {
			wg.Go(func() {
				err := errGoexit
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					if err == nil || len(failures) > 0 && isStop(err) {
						return
					}
					failures = append(failures, err)
					cancel(&siblingError{err})
				}()
				_, err = s.do(ctx)
			})
		}
		wg.Wait()
		if len(failures) == 1 {
			return failures[0] // as it is, so that the bare end of a context is known as one
		}
		return errors.Join(failures...)
	}}
}

// do asks Skip, then runs with retries. Waits are reported to whoever the context names.
func (s Step) do(ctx context.Context) (why string, err error) {
	decided := s.Skip == nil
	attempt := func(ctx context.Context) (err error) {
		// A panic is a mistake in the code: it would only come again.
		defer func() {
			if v := recover(); v != nil {
				err = Permanent(newPanicError(v))
			}
		}()
		if !decided {
			if why, err = s.Skip(ctx); err != nil {
				return wrap("decide whether to skip", err)
			}
			decided = true
		}
		if why != "" {
			return nil
		}
		if s.Run == nil {
			return Permanent(errNoRun)
		}
		return s.Run(ctx)
	}
	if s.Within > 0 {
		err = retry(ctx, s.Within, s.every(), attempt)
	} else {
		err = attempt(ctx)
	}
	if err != nil {
		why = ""
	}
	return why, err
}

func (s Step) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return defaultEvery
}
