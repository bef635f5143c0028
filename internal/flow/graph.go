// Package flow turns steps and the order they need into one run with retries, skips, events and errors that keep their cause.
// Used by sequence to write down what a command does, by step to make the steps, and by cli/progress to show a run.
package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var errNoRun = errors.New("the step has nothing to run")

// Graph is a set of tasks and their order. It is built once by one goroutine and may then be run any number of times.
type Graph struct {
	name    string
	tasks   []*Task // in the order they were added, in which each stands behind what it comes after
	misuses []error
}

// Task is a place in a graph, for others to come after.
type Task struct {
	graph *Graph
	name  string
	step  Step
	after []*Task
}

// New returns an empty graph.
func New(name string) *Graph { return &Graph{name: name} }

// Add puts a task into the graph that starts when all the tasks of after are done or skipped. Because those have to be
// there already, a graph has no cycles. A misuse is kept for Run to return: a sequence file stays free of error checks.
func (g *Graph) Add(name string, s Step, after ...*Task) *Task {
	t := &Task{graph: g, name: name, step: s}
	misuse := func(format string, args ...any) {
		g.misuses = append(g.misuses, fmt.Errorf("flow %q: add task %q: %s", g.name, name, fmt.Sprintf(format, args...)))
	}
	if name == "" {
		misuse("it has no name")
	}
	if slices.ContainsFunc(g.tasks, func(o *Task) bool { return o.name == name }) {
		misuse("there is another task of this name")
	}
	if problem := s.problem(); problem != nil {
		misuse("%v", problem)
	}
	for _, a := range after {
		switch {
		case a == nil:
			misuse("it comes after a task that is nil")
		case a.graph != g:
			misuse("it comes after task %q of flow %q", a.name, a.graph.name)
		case !slices.Contains(t.after, a):
			t.after = append(t.after, a)
		}
	}
	g.tasks = append(g.tasks, t)
	return t
}

// problem finds a step without a function, also among the parts.
func (s Step) problem() error {
	if s.Run == nil {
		return errNoRun
	}
	for _, p := range s.parts {
		if err := p.problem(); err != nil {
			return err
		}
	}
	return nil
}

// String writes the graph down for a golden file: names, order, retries and where a skip is possible.
func (g *Graph) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "flow %q\n", g.name)
	for _, t := range g.tasks {
		fmt.Fprintf(&b, "- %s\n", t.name)
		for _, a := range t.after {
			fmt.Fprintf(&b, "    after %s\n", a.name)
		}
		if d := t.step.describe(); d != once {
			fmt.Fprintf(&b, "    %s\n", d)
		}
	}
	for _, err := range g.misuses {
		fmt.Fprintf(&b, "! %v\n", err)
	}
	return b.String()
}

const once = "once"

// describe says how a step is run: "sequential(once, within 1m0s every 2s unless skipped)".
func (s Step) describe() string {
	how := once
	if s.mode != "" {
		parts := make([]string, 0, len(s.parts))
		for _, p := range s.parts {
			parts = append(parts, p.describe())
		}
		how = s.mode + "(" + strings.Join(parts, ", ") + ")"
	}
	if s.Within > 0 {
		window := fmt.Sprintf("within %v every %v", s.Within, s.every())
		if how == once {
			how = window
		} else {
			how += " " + window
		}
	}
	if s.Skip != nil {
		how += " unless skipped"
	}
	return how
}
