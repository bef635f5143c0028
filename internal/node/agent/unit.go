package agent

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// unitMode: systemd shows units' content to every user anyway, and warns about unit files that only root may read.
const unitMode = 0o644

// Unit is one wanted systemd unit.
type Unit struct {
	Name string
	// Enable as in the OperatingSystemConfig; nil is enabled, for a unit with content that can be.
	Enable *bool
	// Command is what happens with the unit: stop, or "" for running, and restarted when anything in Watch changes.
	Command extensionsv1alpha1.UnitCommand
	// Files are the unit file, if the unit is ours, and its drop-ins.
	Files []File
	// Watch are the paths whose change restarts the unit, sorted.
	Watch []string
	// Ours: the unit file comes from the OperatingSystemConfig, not from the operating system.
	Ours bool
	// Installable: the unit file says what enables it.
	Installable bool
	// Start says who starts it.
	Start Start
}

// Start says how an inactive unit is to be understood.
type Start string

const (
	// StartNow: it should be up always.
	StartNow Start = ""
	// StartOnce: a oneshot that is inactive after its work; it runs when it changed or failed.
	StartOnce Start = "once"
	// StartTriggered: a timer or path of the same OperatingSystemConfig starts it.
	StartTriggered Start = "triggered"
)

// mergeUnits merges units of the same name: later content, command and enable win, drop-ins and filePaths add up.
func mergeUnits(lists ...[]extensionsv1alpha1.Unit) []extensionsv1alpha1.Unit {
	var out []extensionsv1alpha1.Unit
	for _, unit := range slices.Concat(lists...) {
		i := slices.IndexFunc(out, func(u extensionsv1alpha1.Unit) bool { return u.Name == unit.Name })
		if i < 0 {
			i = len(out)
			out = append(out, extensionsv1alpha1.Unit{Name: unit.Name})
		}
		mergeUnit(&out[i], unit)
	}
	return out
}

func mergeUnit(into *extensionsv1alpha1.Unit, unit extensionsv1alpha1.Unit) {
	if unit.Content != nil {
		into.Content = unit.Content
	}
	if unit.Command != nil {
		into.Command = unit.Command
	}
	if unit.Enable != nil {
		into.Enable = unit.Enable
	}
	for _, dropIn := range unit.DropIns {
		into.DropIns = slices.DeleteFunc(into.DropIns, func(d extensionsv1alpha1.DropIn) bool { return d.Name == dropIn.Name })
		into.DropIns = append(into.DropIns, dropIn)
	}
	into.FilePaths = append(into.FilePaths, unit.FilePaths...)
	slices.Sort(into.FilePaths)
	into.FilePaths = slices.Compact(into.FilePaths)
}

// amendments returns the local units that have something to amend, or are complete.
func amendments(osc *extensionsv1alpha1.OperatingSystemConfig, local []extensionsv1alpha1.Unit) []extensionsv1alpha1.Unit {
	known := map[string]bool{}
	for _, unit := range slices.Concat(osc.Spec.Units, osc.Status.ExtensionUnits) {
		known[unit.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(local), func(u extensionsv1alpha1.Unit) bool { return u.Content == nil && !known[u.Name] })
}

func newUnit(unit extensionsv1alpha1.Unit, all []extensionsv1alpha1.Unit) (Unit, error) {
	out := Unit{Name: unit.Name, Enable: unit.Enable, Watch: slices.Clone(unit.FilePaths)}
	if err := checkName(unit.Name); err != nil {
		return out, fmt.Errorf("unit %q: %w", unit.Name, err)
	}
	if unit.Command != nil && *unit.Command == extensionsv1alpha1.CommandStop {
		out.Command = extensionsv1alpha1.CommandStop
	}
	text := ""
	if unit.Content != nil {
		out.Ours, text = true, *unit.Content
		out.Files = append(out.Files, unitFile(unitPath(unit.Name), *unit.Content))
	}
	for _, dropIn := range unit.DropIns {
		if err := checkName(dropIn.Name); err != nil {
			return out, fmt.Errorf("unit %s: drop-in %q: %w", unit.Name, dropIn.Name, err)
		}
		text += "\n" + dropIn.Content
		out.Files = append(out.Files, unitFile(path.Join(dropInDir(unit.Name), dropIn.Name), dropIn.Content))
	}
	for _, file := range out.Files {
		out.Watch = append(out.Watch, file.Path)
	}
	slices.Sort(out.Watch)
	out.Installable = hasLine(text, "[Install]")
	out.Start = startOf(unit.Name, text, all)
	return out, nil
}

func unitFile(path, content string) File {
	return File{Path: path, Mode: unitMode, Data: []byte(content), SHA256: digest([]byte(content))}
}

func startOf(name, text string, all []extensionsv1alpha1.Unit) Start {
	if stem, ok := strings.CutSuffix(name, ".service"); ok {
		for _, unit := range all {
			if unit.Name == stem+".timer" || unit.Name == stem+".path" {
				return StartTriggered
			}
		}
	}
	if hasLine(text, "Type=oneshot") && !hasLine(text, "RemainAfterExit=yes") && !hasLine(text, "RemainAfterExit=true") {
		return StartOnce
	}
	return StartNow
}

func hasLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

func checkName(name string) error {
	if name == "" || name != path.Base(name) || strings.HasPrefix(name, ".") {
		return errors.New("the name must be that of a file without a directory")
	}
	return nil
}

func unitPath(unit string) string  { return path.Join(layout.DirUnits, unit) }
func dropInDir(unit string) string { return path.Join(layout.DirUnits, unit+".d") }

// Down says that the unit should be up and is not; a oneshot that is done, and what a timer starts, may be inactive.
func (u Unit) Down(state host.UnitState) bool {
	return u.wantsUp() && !up(state) && !rests(u, state)
}
