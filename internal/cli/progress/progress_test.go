package progress

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/golden"
)

// story is a run with every kind of event in it.
func story(o flow.Observer) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	refused := errors.New("dial tcp 127.0.0.1:6443: connection refused")
	tell := func(at time.Duration, e flow.Event) {
		e.Flow, e.At = "boot", start.Add(at)
		o.Observe(e)
	}
	const s, ms = time.Second, time.Millisecond
	tell(0, flow.Event{Kind: flow.FlowStarted})
	tell(0, flow.Event{Kind: flow.Started, Task: "issue certificates"})
	tell(400*ms, flow.Event{Kind: flow.Done, Task: "issue certificates", Took: 400 * ms})
	tell(400*ms, flow.Event{Kind: flow.Started, Task: "load images"})
	tell(500*ms, flow.Event{Kind: flow.Skipped, Task: "load images", Took: 100 * ms, Why: "all 9 are there"})
	tell(500*ms, flow.Event{Kind: flow.Started, Task: "wait for the API server"})
	tell(600*ms, flow.Event{Kind: flow.Started, Task: "label the node"})
	for i := range 50 {
		took := time.Duration(i+1) * s
		tell(500*ms+took, flow.Event{Kind: flow.Waiting, Task: "wait for the API server", Took: took, Err: refused})
	}
	tell(70*s, flow.Event{Kind: flow.Failed, Task: "wait for the API server", Took: 69500 * ms,
		Err: fmt.Errorf("not done within 1m9s: %w\nkubelet says: <no>\x1b[31m", refused)})
	tell(71*s, flow.Event{Kind: flow.Cancelled, Task: "label the node", Took: 70400 * ms, Err: errors.New("stopped")})
	tell(71*s, flow.Event{Kind: flow.FlowFailed, Took: 71 * s, Err: errors.New(`flow "boot": task "wait for the API server": …`)})
	tell(80*s, flow.Event{Kind: flow.FlowStarted})
	tell(3700*s, flow.Event{Kind: flow.FlowFailed, Took: 3620 * s, Err: flow.ErrCancelled})
	tell(3700*s, flow.Event{Kind: flow.FlowStarted})
	tell(3701*s, flow.Event{Kind: flow.FlowDone, Took: s})
}

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	c := NewConsole(&out, Style{})
	story(c)
	c.Close()
	golden.Equal(t, "testdata/plain.txt", out.Bytes())
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	l := NewJSON(&out)
	story(l)
	golden.Equal(t, "testdata/events.jsonl", out.Bytes())
	if l.Err() != nil {
		t.Error(l.Err())
	}
}

// disk is a journal file that can be full.
type disk struct {
	bytes.Buffer
	synced []int // the length at each flush
	full   error
}

func (d *disk) Write(p []byte) (int, error) {
	if d.full != nil {
		return 0, d.full
	}
	return d.Buffer.Write(p)
}

func (d *disk) Sync() error { d.synced = append(d.synced, d.Len()); return nil }

func TestJournal(t *testing.T) {
	var d disk
	j := NewJournal(&d)
	j.Observe(flow.Event{Flow: "boot", Task: "a", Kind: flow.Started})
	if len(d.synced) != 1 || d.synced[0] == 0 || !bytes.HasSuffix(d.Bytes(), []byte("\n")) {
		t.Errorf("the start is not on disk: %q, flushed at %v", d.String(), d.synced)
	}
	d.full = errors.New("no space left on device")
	j.Observe(flow.Event{Flow: "boot", Task: "a", Kind: flow.Done})
	d.full = nil
	j.Observe(flow.Event{Flow: "boot", Kind: flow.FlowDone})
	if err := j.Err(); err == nil || err.Error() != "no space left on device" {
		t.Errorf("the first error of writing is lost: %v", err)
	}
}

// screen keeps what a terminal would show: lasting lines and the one that is being redrawn.
type screen struct {
	mu      sync.Mutex
	lasting []string
	current string
	writes  int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for rest := string(p); rest != ""; {
		switch {
		case strings.HasPrefix(rest, eraseLine):
			s.current, rest = "", rest[len(eraseLine):]
		case rest[0] == '\n':
			s.lasting, s.current, rest = append(s.lasting, s.current), "", rest[1:]
		default:
			s.current, rest = s.current+rest[:1], rest[1:]
		}
	}
	return len(p), nil
}

func (s *screen) expect(t *testing.T, current string, lasting ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, status, _ := strings.Cut(s.current, " "); status != current {
		t.Errorf("redrawn line %q, want %q", status, current)
	}
	if got, want := strings.Join(s.lasting, "\n"), strings.Join(lasting, "\n"); got != want {
		t.Errorf("lasting lines:\n%s\nwant:\n%s", got, want)
	}
}

func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s screen
		var width atomic.Int32 // the window is resized while the spinner runs
		width.Store(80)
		c := NewConsole(&s, Style{Terminal: true, Width: func() int { return int(width.Load()) }})
		defer c.Close()
		tell := func(e flow.Event) { e.Flow, e.At = "boot", time.Now(); c.Observe(e) }
		after := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		tell(flow.Event{Kind: flow.FlowStarted})
		tell(flow.Event{Kind: flow.Started, Task: "pull images"})
		tell(flow.Event{Kind: flow.Started, Task: "wait for the API"})
		s.expect(t, "pull images 0.0s, wait for the API 0.0s", "boot")
		tell(flow.Event{Kind: flow.Waiting, Task: "wait for the API", Err: errors.New("refused\n\x1b[2Jtwice")})
		after(9500 * time.Millisecond)
		s.expect(t, "pull images 9.5s, wait for the API 9.5s", "boot")
		after(time.Second)
		s.expect(t, "pull images 10.5s, wait for the API 10.5s (refused  [2Jtwice)", "boot")
		width.Store(30)
		after(time.Second)
		s.expect(t, "pull images 11.5s, wait fo…", "boot")
		width.Store(80)
		tell(flow.Event{Kind: flow.Done, Task: "pull images", Took: 11500 * time.Millisecond})
		s.expect(t, "wait for the API 11.5s (refused  [2Jtwice)", "boot", "✓ pull images done (11.5s)")
		tell(flow.Event{Kind: flow.Skipped, Task: "wait for the API", Why: "not wanted"})
		tell(flow.Event{Kind: flow.FlowDone, Took: 12 * time.Second})
		s.expect(t, "", "boot", "✓ pull images done (11.5s)", "- wait for the API skipped: not wanted", "✓ boot done (12.0s)")
	})
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails when the goroutine of the spinner is left
		var s screen
		c := NewConsole(&s, Style{Terminal: true})
		c.Observe(flow.Event{Flow: "boot", Task: "a", Kind: flow.Started, At: time.Now()})
		time.Sleep(time.Second)
		c.Close()
		c.Close()
		s.expect(t, "")
		if s.writes < 10 {
			t.Errorf("only %d writes in a second: the line is not redrawn", s.writes)
		}
	})
}

func TestColour(t *testing.T) {
	for _, want := range []bool{false, true} {
		var out bytes.Buffer
		c := NewConsole(&out, Style{Terminal: true, Colour: want})
		story(c)
		c.Close()
		if got := strings.Contains(out.String(), "\x1b[31m"); got != want {
			t.Errorf("colour in the output: %v, want %v", got, want)
		}
	}
}

func TestDetectAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s := Detect(f, func(string) string { return "" }); s.Terminal || s.Colour {
		t.Errorf("a file is drawn to as %+v", s)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1249 * time.Millisecond: "1.2s", 59960 * time.Millisecond: "1m00s",
		5*time.Minute + 3*time.Second: "5m03s", 62 * time.Minute: "1h02m",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%v) = %s, want %s", d, got, want)
		}
	}
}
