package cleanup

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// ownUnits are the units whose unit files are ours, in the order in which they are stopped: what starts others comes first, and of
// these the node agent, which would start them again.
func (c *Cleanup) ownUnits(ctx context.Context) ([]agent.OwnedUnit, error) {
	var out []agent.OwnedUnit
	add := func(unit agent.OwnedUnit) {
		known := slices.ContainsFunc(out, func(other agent.OwnedUnit) bool { return other.Name == unit.Name })
		if !known && c.found.before.Tell(path.Join(layout.DirUnits, unit.Name)) != record.There {
			out = append(out, unit)
		}
	}
	for _, unit := range c.found.owned.Units {
		if unit.Ours() {
			add(unit)
		}
	}
	// Those that nobody remembers, because the memory is damaged or gone.
	usual := []string{layout.UnitKubelet}
	if len(c.found.owned.Units) == 0 && !c.found.foreign {
		usual = append(usual, layout.UnitContainerd)
	}
	names, err := c.names(ctx, layout.DirUnits)
	for _, name := range names {
		if ownUnit(name) || slices.Contains(usual, name) {
			add(agent.OwnedUnit{Name: name, Files: append(c.dropIns(ctx, name), path.Join(layout.DirUnits, name))})
		}
	}
	rank := func(unit agent.OwnedUnit) int {
		switch {
		case path.Ext(unit.Name) != ".service":
			return 0
		case strings.Contains(unit.Name, "node-agent"):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b agent.OwnedUnit) int { return cmp.Compare(rank(a), rank(b)) })
	return out, err
}

// dropIns are those of a unit of ours; what was there before stays.
func (c *Cleanup) dropIns(ctx context.Context, unit string) []string {
	dir := path.Join(layout.DirUnits, unit+".d")
	names, _ := c.names(ctx, dir) // one that cannot be read is not removed either
	var out []string
	for _, name := range names {
		if file := path.Join(dir, name); c.found.before.Tell(file) != record.There {
			out = append(out, file)
		}
	}
	return out
}

// stopUnits leaves the container runtime running, through which the pods are removed.
func (c *Cleanup) stopUnits(ctx context.Context) error {
	units, err := c.ownUnits(ctx)
	c.forgetful = c.remember(ctx)
	errs := []error{err}
	for _, unit := range units {
		if unit.Name != layout.UnitContainerd {
			errs = append(errs, c.Units.Stop(ctx, unit.Name))
		}
	}
	return errors.Join(errs...)
}

// removeUnits removes unit files and drop-ins of ours, also drop-ins of units of the operating system.
func (c *Cleanup) removeUnits(ctx context.Context) error {
	own, err := c.ownUnits(ctx)
	errs := []error{err}
	for _, unit := range own {
		errs = append(errs, c.Units.Disable(ctx, unit.Name))
	}
	for _, unit := range slices.Concat(own, c.found.owned.Units) {
		for _, file := range unit.Files {
			errs = append(errs, c.remove(ctx, file))
		}
		errs = append(errs, c.sweep(ctx, path.Join(layout.DirUnits, unit.Name+".d")))
	}
	errs = append(errs, c.sweep(ctx, layout.DirUnits), c.Units.Reload(ctx))
	for _, unit := range own {
		errs = append(errs, c.UnitTable.Forget(ctx, unit.Name))
	}
	return errors.Join(errs...)
}

// restoreUnits lets units that run with files of ours run without, and starts the containerd that was there before.
func (c *Cleanup) restoreUnits(ctx context.Context) error {
	var errs []error
	for _, unit := range c.found.owned.Units {
		// The kernel's settings are restored to what they were, which need not be what files say.
		if unit.Ours() || unit.Name == layout.UnitSysctl || !slices.ContainsFunc(unit.Watch, func(file string) bool { return c.removed[file] }) {
			continue
		}
		state, err := c.Units.State(ctx, unit.Name)
		if err == nil && state.Active == "active" {
			err = c.Units.Restart(ctx, unit.Name)
		}
		errs = append(errs, err)
	}
	if c.wasEnabled(layout.UnitContainerd) {
		errs = append(errs, c.Units.Enable(ctx, layout.UnitContainerd))
	}
	if status, had := c.found.before.Value(record.Unit, layout.UnitContainerd); had && status == "active" {
		errs = append(errs, c.Units.Start(ctx, layout.UnitContainerd))
	}
	return errors.Join(errs...)
}

// wasEnabled looks for the link that makes a unit start at boot.
func (c *Cleanup) wasEnabled(unit string) bool {
	if c.found.before == nil {
		return false
	}
	for file := range c.found.before.Items[record.File] {
		if path.Base(file) == unit && path.Ext(path.Dir(file)) == ".wants" {
			return true
		}
	}
	return false
}
