// Package progress turns the events of a flow into what people and programs read while a command runs.
// Used by cli, which chooses the console or JSON for stderr and adds a journal on disk.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
)

// A wait of a task is explained after ten seconds, and again every thirty.
const (
	explainAfter = 10 * time.Second
	explainEvery = 30 * time.Second
)

// Console shows a run to a person: on a terminal one line that is redrawn with what runs now and a lasting line for
// whatever ended, elsewhere a lasting line for each event, so that a log shows what was running when it stopped.
//
//	 0.4s  issue certificates …
//	 0.8s  issue certificates … done (0.4s)
//	12.3s  wait for the API server … still waiting after 10.1s: connection refused
type Console struct {
	w     io.Writer
	style Style

	mu      sync.Mutex
	began   time.Time // of the first event: times count from the beginning of the command, not of each flow
	waits   pacer
	running []running // in the order of their start
	drawn   bool      // the redrawn line is on the screen
	frame   int

	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
}

// NewConsole shows to w, which usually is stderr. On a terminal it redraws until Close.
func NewConsole(w io.Writer, s Style) *Console {
	c := &Console{w: w, style: s, waits: newPacer(explainAfter, explainEvery), stop: make(chan struct{})}
	if c.style.Now == nil {
		c.style.Now = time.Now
	}
	if s.Terminal {
		c.stopped.Go(c.spin)
	}
	return c
}

// Observe shows the event.
func (c *Console) Observe(e flow.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() {
		c.began = e.At
	}
	if c.style.Terminal {
		c.observeOnTerminal(e)
		return
	}
	if c.waits.lets(e) {
		c.print(plain(e, e.At.Sub(c.began)))
	}
}

// plain is one line of a log. The start is its own line, as parallel tasks share the stream.
func plain(e flow.Event, since time.Duration) string {
	head := fmt.Sprintf("%7s  ", duration(since))
	switch {
	case e.Kind == flow.FlowStarted:
		return head + e.Flow
	case e.Task == "":
		return head + e.Flow + " " + outcome(e)
	case e.Kind == flow.Started:
		return head + e.Task + " …"
	}
	return head + indent(e.Task+" … "+outcome(e), len(head)+2)
}

// print writes a line at once: whoever reads it may act on it before the task runs. A stderr that is gone is no reason
// to stop a boot, so the error is dropped.
func (c *Console) print(line string) { _, _ = io.WriteString(c.w, line+"\n") }

// Close stops the redrawing and takes its line off the screen. It may be called more than once.
func (c *Console) Close() {
	c.once.Do(func() {
		close(c.stop)
		c.stopped.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.erase()
		c.running = nil
	})
}
