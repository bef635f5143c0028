package hosttest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// unit is what the fake's systemd knows of a unit.
type unit struct {
	loaded  string // its files' content when systemd read them last; "" for not found
	active  string
	sub     string
	enabled bool
}

// unitDirs are where unit files are, the first one that has the unit counts.
func unitDirs() []string {
	return []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
}

// onDisk returns a unit's file and drop-ins as they are now; "" when there is no unit file.
func (f *Fake) onDisk(name string) string {
	text := ""
	for _, dir := range unitDirs() {
		if found, err := f.tree.find(path.Join(dir, name)); err == nil && !found.mode.IsDir() {
			text = string(found.content)
			break
		}
	}
	if text == "" {
		return ""
	}
	var dropIns []string
	for file := range f.tree {
		if dir := path.Dir(file); path.Base(dir) == name+".d" && slices.Contains(unitDirs(), path.Dir(dir)) && strings.HasSuffix(file, ".conf") {
			dropIns = append(dropIns, file)
		}
	}
	slices.Sort(dropIns)
	for _, file := range dropIns {
		text += "\n" + string(f.tree[file].content)
	}
	return text
}

// known returns the unit as systemd knows it, which it does since a reload.
func (f *Fake) known(name string) *unit {
	if f.units[name] == nil {
		f.units[name] = &unit{active: "inactive", sub: "dead"}
	}
	return f.units[name]
}

func (f *Fake) reload() {
	for file := range f.tree {
		if slices.Contains(unitDirs(), path.Dir(file)) {
			f.known(path.Base(file))
		}
	}
	for name, unit := range f.units {
		unit.loaded = f.onDisk(name)
	}
}

// setting returns the last value of a setting.
func (u *unit) setting(key string) string {
	value := ""
	for line := range strings.Lines(u.loaded) {
		if found, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			value = found
		}
	}
	return value
}

// unitDoor is the door to the fake's systemd. It knows one program: a service whose program is called "false" fails.
type unitDoor struct{ fake *Fake }

func (d unitDoor) Reload(ctx context.Context) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, "reload"); err != nil {
		return err
	}
	d.fake.reload()
	return nil
}

func (d unitDoor) Enable(ctx context.Context, names ...string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	var errs []error
	for _, name := range names {
		if err := d.fake.change(ctx, "enable "+name); err != nil {
			return err
		}
		if d.fake.onDisk(name) == "" {
			errs = append(errs, fmt.Errorf("enable %s: the unit is not known", name))
			continue
		}
		d.fake.reload()
		found := d.fake.known(name)
		found.enabled = found.enabled || strings.Contains(found.loaded, "[Install]")
	}
	return errors.Join(errs...)
}

func (d unitDoor) Disable(ctx context.Context, name string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, "disable "+name); err != nil {
		return err
	}
	if found := d.fake.units[name]; found != nil && found.enabled {
		found.enabled = false
		d.fake.reload()
	}
	return nil
}

func (d unitDoor) Start(ctx context.Context, name string) error {
	return d.start(ctx, "start", name)
}

func (d unitDoor) Restart(ctx context.Context, name string) error {
	return d.start(ctx, "restart", name)
}

func (d unitDoor) start(ctx context.Context, operation, name string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, operation+" "+name); err != nil {
		return err
	}
	found := d.fake.units[name]
	if found == nil || found.loaded == "" {
		return fmt.Errorf("%s %s: the unit is not known", operation, name)
	}
	if operation == "start" && found.active == "active" {
		return nil
	}
	program, _, _ := strings.Cut(found.setting("ExecStart"), " ")
	oneshot := found.setting("Type") == "oneshot"
	switch {
	case oneshot && path.Base(program) == "false":
		found.active, found.sub = "failed", "failed"
		return &host.UnitError{Operation: operation, Unit: name, Job: "failed", State: d.state(name), Result: "exit-code",
			Journal: []string{"Main process exited, code=exited, status=1/FAILURE"}}
	case oneshot && found.setting("RemainAfterExit") == "yes":
		found.active, found.sub = "active", "exited"
	case oneshot:
		found.active, found.sub = "inactive", "dead"
	default:
		found.active, found.sub = "active", "running"
	}
	return nil
}

func (d unitDoor) Stop(ctx context.Context, name string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, "stop "+name); err != nil {
		return err
	}
	if found := d.fake.units[name]; found != nil && found.active == "active" {
		found.active, found.sub = "inactive", "dead"
	}
	return nil
}

func (d unitDoor) State(ctx context.Context, name string) (host.UnitState, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "state "+name); err != nil {
		return host.UnitState{}, err
	}
	return d.state(name), nil
}

func (d unitDoor) state(name string) host.UnitState {
	found := d.fake.units[name]
	if found == nil {
		return host.UnitState{Load: "not-found", Active: "inactive", Sub: "dead"}
	}
	state := host.UnitState{Load: "loaded", Active: found.active, Sub: found.sub,
		Enabled: found.enabled && found.loaded != "", NeedsReload: found.loaded != d.fake.onDisk(name)}
	if found.loaded == "" {
		state.Load = "not-found"
	}
	return state
}
