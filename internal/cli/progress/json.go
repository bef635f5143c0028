package progress

import (
	"encoding/json"
	"io"
	"math"
	"sync"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
)

// Lines writes one JSON object for each event.
type Lines struct {
	w     io.Writer
	flush func() error // nil when there is nothing to flush
	mu    sync.Mutex
	waits pacer
	err   error
}

// NewJSON writes for a program that follows the run: --log-format json. Of the waits of a task it gets the first and
// then one every ten seconds.
func NewJSON(w io.Writer) *Lines {
	return &Lines{w: w, waits: newPacer(0, 10*time.Second)}
}

// NewJournal writes the same for people who want to know afterwards what happened. A file is flushed to disk at each
// event: what was running when the power failed is what they look for. Nothing reads it to decide anything.
func NewJournal(w io.Writer) *Lines {
	l := NewJSON(w)
	if f, ok := w.(interface{ Sync() error }); ok {
		l.flush = f.Sync
	}
	return l
}

// line is an event on the wire.
type line struct {
	Time    string    `json:"time"`
	Flow    string    `json:"flow"`
	Task    string    `json:"task,omitempty"`
	Event   flow.Kind `json:"event"`
	Seconds *float64  `json:"seconds,omitempty"` // in all events that end something or wait
	Message string    `json:"message,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// Observe writes the event.
func (l *Lines) Observe(e flow.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waits.lets(e) {
		return
	}
	out := line{Time: e.At.UTC().Format(time.RFC3339Nano), Flow: e.Flow, Task: e.Task, Event: e.Kind, Message: e.Why}
	if e.Kind != flow.Started && e.Kind != flow.FlowStarted {
		s := math.Round(e.Took.Seconds()*1000) / 1000
		out.Seconds = &s
	}
	if e.Err != nil {
		out.Error = e.Err.Error()
	}
	enc := json.NewEncoder(l.w)
	enc.SetEscapeHTML(false)
	l.keep(enc.Encode(out))
	if l.flush != nil {
		l.keep(l.flush())
	}
}

func (l *Lines) keep(err error) {
	if l.err == nil {
		l.err = err
	}
}

// Err is the first error of writing. It stops no flow: a full disk is no reason to leave a cluster half built.
func (l *Lines) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
