package progress

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/gardenadm/gardenadm/internal/flow"
)

// pacer lets through few of the waits of a task: a step may try every second for an hour.
type pacer struct {
	first, every time.Duration // since the start of the task, since the last one that was let through
	shown        map[string]time.Time
}

func newPacer(first, every time.Duration) pacer {
	return pacer{first: first, every: every, shown: map[string]time.Time{}}
}

// lets says whether to show the event. Only time decides: causes differ in port numbers and the like each time.
func (p pacer) lets(e flow.Event) bool {
	key := e.Flow + "\x00" + e.Task
	if e.Kind != flow.Waiting {
		delete(p.shown, key)
		return true
	}
	last, again := p.shown[key]
	if e.Took < p.first || again && e.At.Sub(last) < p.every {
		return false
	}
	p.shown[key] = e.At
	return true
}

// duration is short and of steady width: 0.4s, 12.3s, 5m03s, 1h02m.
func duration(d time.Duration) string {
	switch tenths := d.Round(100 * time.Millisecond); {
	case tenths < time.Minute:
		return fmt.Sprintf("%.1fs", tenths.Seconds())
	case tenths < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(tenths.Minutes()), int(tenths.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(tenths.Hours()), int(tenths.Minutes())%60)
	}
}

// outcome is what a line says of an event, without its times: "done", "failed: disk full".
func outcome(e flow.Event) string {
	word := string(e.Kind)
	switch {
	case e.Kind == flow.Waiting && e.Err == nil:
		return "still waiting after " + duration(e.Took) + ": no answer yet"
	case e.Kind == flow.Waiting:
		return "still waiting after " + duration(e.Took) + ": " + clean(e.Err.Error())
	case e.Kind == flow.Skipped:
		return "skipped: " + clean(e.Why)
	case e.Task == "":
		return flowOutcome(e) + " (" + duration(e.Took) + ")"
	case e.Err != nil:
		return word + " (" + duration(e.Took) + "): " + clean(e.Err.Error())
	}
	return word + " (" + duration(e.Took) + ")"
}

// flowOutcome leaves the error out: its tasks have shown theirs, and the command prints it at its end.
func flowOutcome(e flow.Event) string {
	switch {
	case e.Kind == flow.FlowDone:
		return "done"
	case errors.Is(e.Err, flow.ErrCancelled):
		return "cancelled"
	}
	return "failed"
}

// clean makes foreign text harmless on a terminal: no escape sequences, no carriage returns.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}

// indent sets the further lines of a text below its first one.
func indent(s string, by int) string {
	return strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", by))
}
