package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// UnitEntry is a unit that systemd has in memory.
type UnitEntry struct {
	Name string
	// Load, Active and Sub as in UnitState. "not-found" with another Active than "inactive" is what is left of a unit without a file.
	Load, Active, Sub string
}

// UnitTable is what systemd has in memory; Units is about one unit at a time.
type UnitTable interface {
	// List returns the units that are not inactive, by name: those that run, that failed, or are on their way.
	List(ctx context.Context) ([]UnitEntry, error)
	// Forget makes systemd forget that a unit failed; one that it does not know is fine.
	Forget(ctx context.Context, name string) error
}

// unitTable is the real systemd's.
type unitTable struct{ units *units }

func (t unitTable) List(ctx context.Context) ([]UnitEntry, error) {
	conn, err := t.units.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	listed, err := conn.ListUnitsContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	var out []UnitEntry
	for _, one := range listed {
		if one.ActiveState != "inactive" {
			out = append(out, UnitEntry{Name: one.Name, Load: one.LoadState, Active: one.ActiveState, Sub: one.SubState})
		}
	}
	slices.SortFunc(out, func(a, b UnitEntry) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (t unitTable) Forget(ctx context.Context, name string) error {
	conn, err := t.units.connect(ctx)
	if err == nil {
		err = conn.ResetFailedUnitContext(ctx, name)
	}
	if err != nil && !unknownUnit(err) {
		return fmt.Errorf("forget the failure of %s: %w", name, err)
	}
	return nil
}
