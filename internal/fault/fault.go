// Package fault turns a failure that a person can mend into an error with a stable code, evidence and a fix.
// Used by all that finds such a failure; cli prints it, and `gardenadm explain` explains its code offline.
package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Class groups codes by what the caller of the program can do; it decides the exit code.
type Class string

// Classes of faults.
const (
	// Usage: flags or manifests are wrong.
	Usage Class = "usage"
	// Precondition: the machine or its surroundings are not fit.
	Precondition Class = "precondition"
	// Component: something of the cluster does not come up.
	Component Class = "component"
)

// Code is stable once released: GA- and four digits; the first is the class (1 usage, 2 precondition, 3 component).
type Code string

// Entry explains a code.
type Entry struct {
	Code  Code
	Class Class
	// Title says in a few words what is wrong.
	Title string
	// Text explains what gardenadm saw and why that matters, in whole sentences.
	Text string
	// Fix says what to do, as a command where there is one.
	Fix string
}

// Error is a failure with a code. Its text names the cause; evidence, fix and code are printed by the command line.
type Error struct {
	Code  Code
	Cause error
	// Evidence are a few lines that show it: an excerpt of a log, the owner of a port. Never secrets.
	Evidence []string
	// Fix replaces the entry's when it can name more precisely what to do.
	Fix string
}

// New returns an error with the code; the format names the cause.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Cause: fmt.Errorf(format, args...)}
}

// Seen returns the error with evidence.
func (e *Error) Seen(evidence ...string) *Error {
	out := *e
	out.Evidence = append(slices.Clone(e.Evidence), evidence...)
	return &out
}

// Mend returns the error with a more precise fix.
func (e *Error) Mend(format string, args ...any) *Error {
	out := *e
	out.Fix = fmt.Sprintf(format, args...)
	return &out
}

// Error is the cause with its code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Cause, e.Code) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Find returns the entry of a code.
func Find(code Code) (Entry, bool) {
	at := slices.IndexFunc(Entries(), func(e Entry) bool { return e.Code == code })
	if at < 0 {
		return Entry{}, false
	}
	return Entries()[at], true
}

// Of returns all faults in an error, in order; joined and wrapped ones too.
func Of(err error) []*Error {
	switch e := err.(type) {
	case nil:
		return nil
	case *Error:
		return []*Error{e}
	case interface{ Unwrap() []error }:
		var out []*Error
		for _, one := range e.Unwrap() {
			out = append(out, Of(one)...)
		}
		return out
	}
	return Of(errors.Unwrap(err))
}

// ClassOf is the class of the first fault in an error, "" when there is none.
func ClassOf(err error) Class {
	for _, e := range Of(err) {
		if entry, ok := Find(e.Code); ok {
			return entry.Class
		}
	}
	return ""
}

// Report renders the first faults for a person: cause, evidence, fix and code, at most five lines for the last of them.
func Report(err error) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Error: %s\n", err)
	for _, e := range Of(err) {
		entry, _ := Find(e.Code)
		fix := e.Fix
		if fix == "" {
			fix = entry.Fix
		}
		fmt.Fprintf(&out, "%s: %s\n", e.Code, entry.Title)
		fmt.Fprintf(&out, "  cause:    %s\n", oneLine(shortList(e.Cause.Error())))
		if len(e.Evidence) > 0 {
			fmt.Fprintf(&out, "  evidence: %s\n", oneLine(strings.Join(e.Evidence, " | ")))
		}
		fmt.Fprintf(&out, "  fix:      %s\n", oneLine(fix))
		fmt.Fprintf(&out, "  more:     gardenadm explain %s\n", e.Code)
	}
	return out.String()
}

// oneLine keeps a line a line; a person reads the end of a log, so a long text keeps its end.
// shortList keeps the first line of a list, which the error above shows whole.
func shortList(text string) string {
	first, rest, _ := strings.Cut(text, "\n")
	if more := strings.Count(rest, "\n"); more > 0 {
		return fmt.Sprintf("%s (and %d more above)", first, more+1)
	}
	return text
}

func oneLine(text string) string {
	const most = 600
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = "… " + text[len(text)-most:]
	}
	return text
}
