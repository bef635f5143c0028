package agent

import (
	"path"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// unitFiles plans the unit files and drop-ins, in the order of the units.
func (d *differ) unitFiles() {
	for _, unit := range d.want.Units {
		for _, file := range unit.Files {
			d.write(file)
			d.reload = d.reload || d.changed[file.Path]
		}
	}
}

// gone plans the end of what was applied once and is not wanted any more: first units, then static pods, then files.
func (d *differ) gone() {
	wanted := map[string]bool{}
	for _, path := range d.want.owned().paths() {
		wanted[path] = true
	}
	d.stopGone()
	for _, unit := range d.owned.Units {
		for _, file := range unit.Files {
			if !wanted[file] && d.remove(file) {
				d.reload = true
			}
		}
		d.removeDir(dropInDir(unit.Name), unit.Files, wanted)
	}
	for _, manifests := range []bool{true, false} {
		for _, file := range d.owned.Files {
			if !wanted[file] && (File{Path: file}).isManifest() == manifests {
				d.remove(file)
			}
		}
	}
	for _, directory := range (Owned{Files: d.owned.Files}).directories() {
		d.removeDir(directory, d.owned.Files, wanted)
	}
}

// stopGone plans to stop and disable the units that were ours as a whole.
func (d *differ) stopGone() {
	for _, unit := range d.owned.Units {
		if d.wanted(unit.Name) || !slices.Contains(unit.Files, unitPath(unit.Name)) {
			continue
		}
		state := d.have.Units[unit.Name]
		if up(state) {
			d.add(Step{Verb: Stop, Target: unit.Name, Reason: "not wanted any more"})
		}
		if state.Enabled {
			d.add(Step{Verb: Disable, Target: unit.Name, Reason: "not wanted any more"})
		}
	}
}

// remove plans to remove a file or link of ours that is there. A directory at its place is not ours.
func (d *differ) remove(path string) bool {
	info, ok := d.have.Files[path]
	if !ok || info.Mode.IsDir() {
		return false
	}
	d.changed[path] = true
	d.add(Step{Verb: Remove, Target: path, Reason: "not wanted any more"})
	return true
}

// removeDir plans to remove a directory of our files in which nobody else's stay.
func (d *differ) removeDir(directory string, files []string, wanted map[string]bool) {
	names, ok := d.have.Names[directory]
	if !ok {
		return
	}
	for _, name := range names {
		file := path.Join(directory, name)
		if !slices.Contains(files, file) {
			return
		}
	}
	for file := range wanted {
		if path.Dir(file) == directory {
			return
		}
	}
	d.add(Step{Verb: Remove, Target: directory, Reason: "empty"})
}

func (d *differ) wanted(unit string) bool {
	return slices.ContainsFunc(d.want.Units, func(u Unit) bool { return u.Name == unit })
}

func (d *differ) reloadUnits() {
	reason := "unit files change"
	if !d.reload {
		d.reload, reason = d.pending.Reload, "interrupted before"
	}
	for _, unit := range d.want.Units {
		if !d.reload && d.have.Units[unit.Name].NeedsReload {
			d.reload, reason = true, unit.Name+" was changed"
		}
	}
	if d.reload {
		d.add(Step{Verb: Reload, Reason: reason})
	}
}

// enableUnits plans what starts at boot, and decides what restarts.
func (d *differ) enableUnits() {
	for _, unit := range d.want.Units {
		state := d.have.Units[unit.Name]
		if unit.wantsUp() && d.changedFor(unit) && !(unit.Start == StartTriggered && !up(state)) {
			d.restart[unit.Name] = true
		}
		switch {
		case unit.Enable != nil && !*unit.Enable:
			if state.Enabled {
				d.add(Step{Verb: Disable, Target: unit.Name})
			}
		case unit.Enable == nil && !(unit.Ours && unit.Installable && unit.wantsUp()):
		// A unit without [Install] is never enabled, however often one asks: only when it changes.
		case !state.Enabled && (unit.Installable || d.changedFor(unit)), state.Enabled && d.rewritten(unit):
			d.add(Step{Verb: Enable, Target: unit.Name})
		}
	}
}

// rewritten says that the unit file may name another target than the one that the unit is enabled for.
func (d *differ) rewritten(unit Unit) bool {
	return unit.Ours && (d.changed[unitPath(unit.Name)] || slices.Contains(d.pending.Restart, unit.Name))
}

// changedFor says that something that the unit runs with changes, or changed before an interruption;
// also when that was a file of the former configuration only.
func (d *differ) changedFor(unit Unit) bool {
	if slices.Contains(d.pending.Restart, unit.Name) {
		return true
	}
	watch := unit.Watch
	for _, owned := range d.owned.Units {
		if owned.Name == unit.Name {
			watch = merge(watch, owned.Watch)
		}
	}
	return slices.ContainsFunc(watch, func(path string) bool { return d.changed[path] })
}

// runUnits plans commands in the order of the units, and after them restarts of units of the operating system
// that lost their drop-ins.
func (d *differ) runUnits() {
	for _, unit := range d.want.Units {
		state := d.have.Units[unit.Name]
		switch {
		case !unit.wantsUp():
			if up(state) {
				d.add(Step{Verb: Stop, Target: unit.Name})
			}
		case d.restart[unit.Name]:
			d.add(Step{Verb: Restart, Target: unit.Name, Reason: "changed"})
		case unit.Down(state):
			d.add(Step{Verb: StartUp, Target: unit.Name, Reason: state.Active})
		}
	}
	for _, unit := range d.owned.Units {
		if d.wanted(unit.Name) || slices.Contains(unit.Files, unitPath(unit.Name)) || !up(d.have.Units[unit.Name]) {
			continue
		}
		if d.changedFor(Unit{Name: unit.Name}) {
			d.add(Step{Verb: Restart, Target: unit.Name, Reason: "changed"})
		}
	}
}

// rests says that an inactive unit is as it should be.
func rests(unit Unit, state host.UnitState) bool {
	return unit.Start == StartTriggered || unit.Start == StartOnce && state.Active == "inactive"
}

// up says that the unit runs or is about to. A oneshot that remains after exit is active; one that systemd
// restarts by itself is activating, and starting it again would help nothing.
func up(state host.UnitState) bool {
	switch state.Active {
	case "active", "activating", "reloading", "refreshing":
		return true
	}
	return false
}
