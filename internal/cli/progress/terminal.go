package progress

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
)

const (
	redrawEvery  = 100 * time.Millisecond
	defaultWidth = 80
	eraseLine    = "\r\x1b[2K"
	frames       = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
)

// running is a task that has started and not ended.
type running struct {
	flow, task string
	since      time.Time
	cause      string // of its last wait
}

// observeOnTerminal keeps what runs now and prints what ended. c.mu is held.
func (c *Console) observeOnTerminal(e flow.Event) {
	c.erase()
	at := slices.IndexFunc(c.running, func(r running) bool { return r.flow == e.Flow && r.task == e.Task })
	switch {
	case e.Kind == flow.FlowStarted:
		c.print(c.paint(bold, e.Flow))
	case e.Kind == flow.Started:
		c.running = append(c.running, running{flow: e.Flow, task: e.Task, since: e.At})
	case e.Kind == flow.Waiting:
		if at >= 0 && e.Err != nil {
			c.running[at].cause = clean(e.Err.Error())
		}
	case e.Task == "":
		c.print(c.mark(e) + " " + c.paint(bold, e.Flow) + " " + outcome(e))
	default:
		if at >= 0 {
			c.running = slices.Delete(c.running, at, at+1)
		}
		c.print(c.mark(e) + " " + indent(e.Task+" "+outcome(e), 4))
	}
	c.draw(e.At)
}

// spin redraws until Close.
func (c *Console) spin() {
	t := time.NewTicker(redrawEvery)
	defer t.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-t.C:
			c.mu.Lock()
			c.frame++
			c.draw(c.style.Now())
			c.mu.Unlock()
		}
	}
}

// draw writes the line of what runs now without ending it. c.mu is held.
func (c *Console) draw(now time.Time) {
	if len(c.running) == 0 {
		return
	}
	all := []rune(frames)
	spinner := string(all[c.frame%len(all)])
	width := defaultWidth
	if c.style.Width != nil {
		if w := c.style.Width(); w > 0 {
			width = w
		}
	}
	// The spinner, a space, and the last column, which some terminals wrap at.
	line := fit(c.status(now), width-3)
	_, _ = io.WriteString(c.w, eraseLine+c.paint(cyan, spinner)+" "+line)
	c.drawn = true
}

// status joins what runs: "pull images 3.1s, wait for the API server 12.0s (connection refused)".
func (c *Console) status(now time.Time) string {
	parts := make([]string, 0, len(c.running))
	for _, r := range c.running {
		took := max(now.Sub(r.since), 0)
		part := r.task + " " + duration(took)
		if r.cause != "" && took >= explainAfter {
			part += " (" + strings.ReplaceAll(r.cause, "\n", " ") + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// fit cuts the line to the width: a line that wraps could not be erased.
func fit(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:max(width-1, 0)]) + "…"
}

func (c *Console) erase() {
	if c.drawn {
		_, _ = io.WriteString(c.w, eraseLine)
		c.drawn = false
	}
}

type colour string

const (
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
)

func (c *Console) paint(col colour, s string) string {
	if !c.style.Colour {
		return s
	}
	return "\x1b[" + string(col) + "m" + s + "\x1b[0m"
}

// mark is the sign before a lasting line.
func (c *Console) mark(e flow.Event) string {
	switch {
	case e.Kind == flow.Done || e.Kind == flow.FlowDone:
		return c.paint(green, "✓")
	case e.Kind == flow.Skipped:
		return c.paint(cyan, "-")
	case e.Kind == flow.Cancelled || flowOutcome(e) == "cancelled":
		return c.paint(yellow, "!")
	}
	return c.paint(red, "✗")
}
