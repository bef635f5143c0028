package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// Plan is what Apply does, in this order. It can be printed: it shows paths, digests and modes, never content.
type Plan struct {
	Steps []Step

	// next is what is remembered while the plan is under way; records and applied what is remembered after it.
	next    Pending
	records map[string]Record
	applied []byte
}

// Verb is what a step does.
type Verb string

// The verbs, in the order in which a plan has them.
const (
	Remember Verb = "remember" // what this plan still has to do, should it be interrupted
	MakeDir  Verb = "make directory"
	Extract  Verb = "extract"
	Write    Verb = "write"
	Stop     Verb = "stop"
	Disable  Verb = "disable"
	Remove   Verb = "remove"
	Reload   Verb = "reload"
	Enable   Verb = "enable"
	StartUp  Verb = "start"
	Restart  Verb = "restart"
	Conclude Verb = "conclude" // the configuration is applied
	Forget   Verb = "forget"   // what was remembered
)

// Step is one change of the host.
type Step struct {
	Verb Verb
	// Target is a path, a unit or an image.
	Target string
	// Reason says why, for a reader.
	Reason string

	directory staticpod.Directory // of MakeDir
	files     []File              // of Write (one) and Extract
	digest    string              // of Extract
}

// Empty says that the host is what is wanted.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// until leaves out what comes after the named unit was started: commands to later units, and the end of the plan.
// What was remembered at its beginning stays remembered, so that the next plan goes on from there.
func (p Plan) until(want Want, unit string) Plan {
	last := slices.IndexFunc(want.Units, func(u Unit) bool { return u.Name == unit })
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(step Step) bool {
		switch step.Verb {
		case Conclude, Forget:
			return true
		case StartUp, Restart:
			at := slices.IndexFunc(want.Units, func(u Unit) bool { return u.Name == step.Target })
			return at < 0 || at > last
		}
		return false
	})
	return p
}

// String prints the plan, one line per change.
func (p Plan) String() string {
	var out strings.Builder
	for _, step := range p.Steps {
		fmt.Fprintln(&out, step)
	}
	return out.String()
}

// String prints a step without its content.
func (s Step) String() string {
	out := strings.TrimSpace(string(s.Verb) + " " + s.Target)
	switch s.Verb {
	case MakeDir:
		out += fmt.Sprintf(" %d:%d %#o", s.directory.UID, s.directory.GID, s.directory.Mode)
	case Write:
		out += fmt.Sprintf(" %#o sha256:%s", s.files[0].Mode, short(s.files[0].SHA256))
	}
	if s.Reason != "" {
		out += " (" + s.Reason + ")"
	}
	for _, file := range s.files {
		if s.Verb == Extract {
			out += fmt.Sprintf("\n  %s to %s %#o", file.PathInImage, file.Path, file.Mode)
		}
	}
	return out
}

// short is enough of a digest for a reader.
func short(digest string) string { return digest[:min(12, len(digest))] }
