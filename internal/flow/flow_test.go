package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gardenadm/gardenadm/internal/golden"
)

// recorder keeps events as lines: "started a", "skipped b: why".
type recorder struct {
	lines  []string
	events []Event
}

func (r *recorder) Observe(e Event) {
	line := strings.TrimSpace(string(e.Kind) + " " + e.Task)
	if e.Why != "" {
		line += ": " + e.Why
	}
	if e.Err != nil && e.Kind != FlowFailed {
		line += ": " + e.Err.Error()
	}
	r.lines, r.events = append(r.lines, line), append(r.events, e)
}

func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	if got, want := strings.Join(r.lines, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("events:\n%s\nwant:\n%s", got, want)
	}
}

func nothing(context.Context) error { return nil }

func fails(text string) Step { return Do(func(context.Context) error { return errors.New(text) }) }

func sleeps(d time.Duration) Step {
	return Do(func(ctx context.Context) error {
		if !pause(ctx, d) {
			return ctx.Err()
		}
		return nil
	})
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New("order")
		a := g.Add("a", sleeps(2*time.Second))
		b := g.Add("b", sleeps(time.Second).Unless(func(context.Context) (string, error) { return "there already", nil }))
		c := g.Add("c", sleeps(3*time.Second), b)
		g.Add("d", Do(nothing), a, c, a)

		var r recorder
		began := time.Now()
		if err := g.Run(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the run took %v: a and c did not run at the same time", took)
		}
		r.expect(t, "flow-started", "started a", "started b", "skipped b: there already", "started c",
			"done a", "done c", "started d", "done d", "flow-done")
		if e := r.events[5]; e.Took != 2*time.Second || e.Flow != "order" || e.At.Sub(began) != 2*time.Second {
			t.Errorf("event of a: %+v", e)
		}
	})
}

func TestRunAgain(t *testing.T) {
	var runs atomic.Int32
	g := New("again")
	g.Add("a", Do(func(context.Context) error { runs.Add(1); return nil }))
	for range 2 {
		if err := g.Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if runs.Load() != 2 {
		t.Errorf("a ran %d times in two runs", runs.Load())
	}
}

func TestStartedIsObservedBeforeTheTaskRuns(t *testing.T) {
	ran := false
	g := New("start")
	g.Add("a", Do(func(context.Context) error { ran = true; return nil }))
	seen := false
	err := g.Run(t.Context(), ObserverFunc(func(e Event) {
		if e.Kind == Started {
			time.Sleep(20 * time.Millisecond) // a slow disk: the task has to wait for it
			seen = true
			if ran {
				t.Error("the task ran before its start was observed")
			}
		}
	}))
	if err != nil || !seen || !ran {
		t.Errorf("err %v, observed %v, ran %v", err, seen, ran)
	}
}

func TestFailureStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		g := New("boot")
		a := g.Add("a", Sequential(sleeps(time.Second), fails("disk full")))
		g.Add("after a", Do(nothing), a)
		g.Add("long", Do(func(ctx context.Context) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return fmt.Errorf("copy: %w", ctx.Err())
		}))
		g.Add("breaks too", Do(func(ctx context.Context) error {
			<-ctx.Done()
			pause(context.Background(), time.Second)
			return errors.New("signal: killed")
		}))
		var r recorder
		err := g.Run(t.Context(), &r)
		expectError(t, err, "flow \"boot\": task \"a\": disk full\nflow \"boot\": task \"breaks too\": signal: killed")
		r.expect(t, "flow-started", "started a", "started long", "started breaks too", "failed a: disk full",
			`cancelled long: stopped: stopped because of another failure: flow "boot": task "a": disk full; last cause: copy: context canceled`,
			"failed breaks too: signal: killed", "flow-failed")
		if cause == nil || !strings.Contains(cause.Error(), "disk full") {
			t.Errorf("the sibling was cancelled with cause %v", cause)
		}
		if errors.Is(err, ErrCancelled) || errors.Is(err, ErrTimeout) {
			t.Error("a failure counts as cancelled or timed out")
		}
		if te := (*TaskError)(nil); !errors.As(err, &te) || te.Task != "a" {
			t.Errorf("the first TaskError is %v", te)
		}
	})
}

func TestPanics(t *testing.T) {
	boom := errors.New("boom")
	var runs atomic.Int32
	g := New("f")
	g.Add("a", Do(func(context.Context) error { runs.Add(1); panic(boom) }).Retry(time.Minute, time.Millisecond))
	err := g.Run(t.Context(), nil)
	expectError(t, err, `flow "f": task "a": panic: boom`)
	if p := (*PanicError)(nil); !errors.As(err, &p) || !strings.Contains(string(p.Stack), "TestPanics") || !errors.Is(err, boom) {
		t.Errorf("the panic lost its stack or value: %#v", p)
	}
	if runs.Load() != 1 {
		t.Errorf("a panic was tried %d times", runs.Load())
	}

	g = New("f")
	g.Add("skip", Do(nothing).Unless(func(context.Context) (string, error) { panic("no") }))
	expectError(t, g.Run(t.Context(), nil), `flow "f": task "skip": panic: no`)

	g = New("f")
	g.Add("parts", Parallel(Do(func(context.Context) error { panic("part") })))
	expectError(t, g.Run(t.Context(), nil), `flow "f": task "parts": panic: part`)
}

func TestMisuse(t *testing.T) {
	other := New("other").Add("x", Do(nothing))
	ran := false
	g := New("f")
	g.Add("a", Do(func(context.Context) error { ran = true; return nil }))
	g.Add("a", Do(nothing))
	g.Add("b", Do(nothing), other, nil)
	g.Add("c", Sequential(Do(nothing), Step{}))
	g.Add("", Do(nothing))
	var r recorder
	expectError(t, g.Run(t.Context(), &r), strings.Join([]string{
		`flow "f": add task "a": there is another task of this name`,
		`flow "f": add task "b": it comes after task "x" of flow "other"`,
		`flow "f": add task "b": it comes after a task that is nil`,
		`flow "f": add task "c": the step has nothing to run`,
		`flow "f": add task "": it has no name`,
	}, "\n"))
	if ran {
		t.Error("a graph with mistakes ran")
	}
	r.expect(t, "flow-started", "flow-failed")
}

func TestObservers(t *testing.T) {
	var a, b recorder
	Observers(&a, nil, &b).Observe(Event{Kind: Done, Task: "x"})
	a.expect(t, "done x")
	b.expect(t, "done x")
	Observers().Observe(Event{})
}

func TestString(t *testing.T) {
	skip := func(context.Context) (string, error) { return "", nil }
	g := New("boot")
	pki := g.Add("issue certificates", Do(nothing))
	osc := g.Add("render control plane", Do(nothing), pki)
	pull := g.Add("pull images", Sequential(Do(nothing).Unless(skip), Do(nothing).Retry(time.Minute, 2*time.Second)), pki)
	node := g.Add("apply node configuration", Parallel(Do(nothing), Do(nothing)).Retry(10*time.Second, 0), osc, pull, osc)
	g.Add("wait for the API server", Do(nothing).Retry(5*time.Minute, 0).Unless(skip), node)

	golden.Equal(t, "testdata/boot.txt", []byte(g.String()))
}
