package flow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var errRefused = errors.New("connection refused")

// waitGraph is one task with retries: the shape of most waits.
func waitGraph(s Step) *Graph {
	g := New("boot")
	w := g.Add("wait for the API", s)
	g.Add("next", Do(nothing), w)
	return g
}

func TestRetryUntilSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, skips := 0, 0
		s := Do(func(context.Context) error {
			if n++; n < 3 {
				return fmt.Errorf("attempt %d: %w", n, errRefused)
			}
			return nil
		}).Retry(time.Minute, 2*time.Second).Unless(func(context.Context) (string, error) {
			if skips++; skips == 1 {
				return "", errors.New("no answer")
			}
			return "", nil
		})
		var r recorder
		if err := waitGraph(s).Run(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "flow-started", "started wait for the API",
			"waiting wait for the API: decide whether to skip: no answer",
			"waiting wait for the API: attempt 1: connection refused",
			"waiting wait for the API: attempt 2: connection refused",
			"done wait for the API", "started next", "done next", "flow-done")
		if got := r.events[4].Took; got != 4*time.Second {
			t.Errorf("the third wait says that it took %v", got)
		}
		if skips != 2 {
			t.Errorf("Skip was asked %d times; decided is decided", skips)
		}
	})
}

func TestTimeoutKeepsTheLastCause(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	n := 0
	for name, c := range map[string]struct {
		step Step
		want string
	}{
		"refused each time": {
			Do(func(context.Context) error { return errRefused }),
			"not done within 10s (10 attempts): connection refused",
		},
		"hangs at last": {
			Do(func(ctx context.Context) error {
				if n++; n < 3 {
					return errRefused
				}
				return fmt.Errorf("dial: %w", hang(ctx))
			}),
			"not done within 10s (3 attempts): connection refused",
		},
		"hangs at once, wrapped": {
			Do(func(ctx context.Context) error { return fmt.Errorf("dial 10.0.0.1: %w", hang(ctx)) }),
			"not done within 10s (1 attempt): dial 10.0.0.1: context deadline exceeded",
		},
		"hangs at once":   {Do(hang), "not done within 10s: 1 attempt gave no answer"},
		"cause in a part": {Sequential(fails("connection refused").Retry(time.Hour, time.Second)), "not done within 10s (1 attempt): connection refused"},
		"part times out":  {Parallel(fails("a").Retry(3*time.Second, time.Second)), "not done within 10s (4 attempts): a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := waitGraph(c.step.Retry(10*time.Second, time.Second)).Run(t.Context(), nil)
				expectError(t, err, `flow "boot": task "wait for the API": `+c.want)
				if te := (*TimeoutError)(nil); !errors.Is(err, ErrTimeout) || !errors.As(err, &te) || te.Within != 10*time.Second {
					t.Errorf("not to be told as a timeout: %#v", err)
				}
				if errors.Is(err, ErrCancelled) {
					t.Error("a timeout counts as cancelled")
				}
			})
		})
	}
}

func TestPermanentIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := Sequential(Do(func(context.Context) error { return fmt.Errorf("read: %w", Permanent(errRefused)) }))
		err := waitGraph(s.Retry(time.Minute, time.Second)).Run(t.Context(), nil)
		expectError(t, err, `flow "boot": task "wait for the API": read: connection refused`)
		if !errors.Is(err, errRefused) || errors.Is(err, ErrTimeout) || time.Since(began) != 0 {
			t.Errorf("retried or changed: %#v after %v", err, time.Since(began))
		}
	})
	if Permanent(nil) != nil {
		t.Error("Permanent(nil) is an error")
	}
}

func TestCancelledByTheCaller(t *testing.T) {
	interrupt := errors.New("interrupt")
	for name, c := range map[string]struct {
		step Step
		want string
	}{
		"between attempts": {
			fails("connection refused").Retry(time.Minute, time.Second),
			`flow "boot": stopped: interrupt; task "wait for the API": connection refused`,
		},
		"within an attempt": {
			sleeps(time.Hour).Retry(time.Minute, time.Second),
			`flow "boot": stopped: interrupt; task "wait for the API": stopped`,
		},
		"without retries": {sleeps(time.Hour), `flow "boot": stopped: interrupt; task "wait for the API": stopped`},
		"parts": {
			Parallel(sleeps(time.Hour), Sequential(sleeps(time.Hour))),
			`flow "boot": stopped: interrupt; task "wait for the API": stopped`,
		},
		"a process that dies of it": {
			Do(func(ctx context.Context) error { <-ctx.Done(); return errors.New("signal: killed") }),
			`flow "boot": stopped: interrupt; task "wait for the API": signal: killed`,
		},
		"a task that does not care": {
			Do(func(context.Context) error { pause(context.Background(), time.Minute); return nil }),
			`flow "boot": stopped: interrupt; before task "next"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(5500*time.Millisecond, func() { cancel(interrupt) })
				var r recorder
				err := waitGraph(c.step).Run(ctx, &r)
				expectError(t, err, c.want)
				if !errors.Is(err, ErrCancelled) || !errors.Is(err, interrupt) || errors.Is(err, ErrTimeout) {
					t.Errorf("not to be told as cancelled: %#v", err)
				}
				if last := r.lines[len(r.lines)-1]; last != "flow-failed" {
					t.Errorf("the last event is %q", last)
				}
			})
		})
	}
}

func TestDeadlineOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		err := waitGraph(fails("connection refused").Retry(time.Minute, time.Second)).Run(ctx, nil)
		expectError(t, err, `flow "boot": the time for all of it is over; task "wait for the API": connection refused`)
		if !errors.Is(err, ErrTimeout) || errors.Is(err, ErrCancelled) {
			t.Errorf("not to be told as a timeout: %#v", err)
		}
	})
}

func TestFailureBeforeCancelIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := New("boot")
		g.Add("a", fails("disk full"))
		g.Add("stubborn", Do(func(context.Context) error { pause(context.Background(), time.Minute); return nil }))
		time.AfterFunc(time.Second, cancel)
		err := g.Run(ctx, nil)
		expectError(t, err, `flow "boot": task "a": disk full`)
		if errors.Is(err, ErrCancelled) {
			t.Error("Ctrl-C after a failure hides the failure")
		}
	})
}

func TestFlowWithinAFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := New("inner")
		inner.Add("x", sleeps(time.Hour))
		outer := New("outer")
		outer.Add("nested", Do(func(ctx context.Context) error { return inner.Run(ctx, nil) }))
		outer.Add("slow", sleeps(time.Second).Retry(time.Second/2, 0))
		err := outer.Run(t.Context(), nil)
		expectError(t, err, `flow "outer": task "slow": not done within 500ms: 1 attempt gave no answer`)
		if errors.Is(err, ErrCancelled) {
			t.Error("the nested flow was stopped because of a timeout, not by the caller")
		}
	})
}

func TestParallelJoinsRealFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := Do(func(ctx context.Context) error {
			<-ctx.Done()
			pause(context.Background(), time.Second)
			return errors.New("b broke too")
		})
		err := waitGraph(Parallel(sleeps(time.Hour), fails("a broke"), late)).Run(t.Context(), nil)
		expectError(t, err, "flow \"boot\": task \"wait for the API\": a broke\nb broke too")
	})
}
