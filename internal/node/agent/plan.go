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
	// Leave says that the agent's own unit is to be restarted once all steps are done.
	Leave bool

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

// Paths are the files and directories that the plan changes, sorted; those that only remember are not among them.
func (p Plan) Paths() []string {
	var paths []string
	for _, step := range p.Steps {
		switch step.Verb {
		case MakeDir, Write, Remove:
			paths = append(paths, step.Target)
		case Extract:
			for _, file := range step.files {
				paths = append(paths, file.Path)
			}
		}
	}
	return merge(paths, nil)
}

// Starts are the units that the plan starts because they are down, sorted.
func (p Plan) Starts() []string {
	var units []string
	for _, step := range p.Steps {
		if step.Verb == StartUp {
			units = append(units, step.Target)
		}
	}
	return merge(units, nil)
}

// Units are those that the plan starts, restarts or stops, sorted.
func (p Plan) Units() []string {
	var units []string
	for _, step := range p.Steps {
		switch step.Verb {
		case Stop, StartUp, Restart:
			units = append(units, step.Target)
		}
	}
	return merge(units, nil)
}

// Drift says that the configuration had been applied, so that the plan undoes what somebody else did.
func (p Plan) Drift() bool {
	return !slices.ContainsFunc(p.Steps, func(step Step) bool { return step.Verb == Conclude })
}

// Touches says that the plan changes the host, and not only what the agent remembers.
func (p Plan) Touches() bool {
	return slices.ContainsFunc(p.Steps, func(step Step) bool {
		return step.Verb != Remember && step.Verb != Conclude && step.Verb != Forget
	})
}

// WithoutImages is what can be done of the plan while an image cannot be had, which may come from this very host: units that are down
// are started, and files that somebody else changed are put back. Units are restarted by a later plan: what they need may be
// missing. Files of a new configuration come all together or not at all.
func (p Plan) WithoutImages() Plan {
	drift := p.Drift()
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(step Step) bool {
		switch step.Verb {
		case StartUp:
			return false
		case Remember, MakeDir, Write, Remove, Reload:
			return !drift
		}
		return true
	})
	return p
}

// WithoutStarting leaves out that units are started which are to be spared.
func (p Plan) WithoutStarting(spared func(unit string) bool) Plan {
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(step Step) bool { return step.Verb == StartUp && spared(step.Target) })
	return p
}

// within leaves out what would end the agent that applies the plan: commands to its own unit.
func (p Plan) within(unit string) Plan {
	if unit == "" {
		return p
	}
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(step Step) bool {
		if step.Target != unit {
			return false
		}
		p.Leave = p.Leave || step.Verb == Restart
		return step.Verb == Restart || step.Verb == StartUp || step.Verb == Stop
	})
	return p
}

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
