package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// journalLines is how many lines of its journal a unit's error carries.
const journalLines = 10

// UnitError says how a job for a unit ended, when not in "done".
type UnitError struct {
	Operation string // start, restart or stop
	Unit      string
	// Job is the job's result: failed, timeout, dependency, canceled or skipped.
	Job string
	// State is the unit's, Result why a service is in it (exit-code, signal, timeout …; "" when unknown).
	State  UnitState
	Result string
	// Journal is the end of the unit's journal, the oldest line first; empty when there is none to be read.
	Journal []string
}

func (e *UnitError) Error() string {
	text := fmt.Sprintf("%s %s: job ended in %q, unit is %s (%s)", e.Operation, e.Unit, e.Job, e.State.Active, e.State.Sub)
	if e.Result != "" {
		text += ", result " + e.Result
	}
	for _, line := range e.Journal {
		text += journalMark + line
	}
	return text
}

const journalMark = "\n  | "

// WithoutJournals is an error's text without the lines of units' journals, which differ each time and are not for everybody.
func WithoutJournals(err error) string {
	var out []string
	for _, line := range strings.Split(err.Error(), "\n") {
		if !strings.HasPrefix("\n"+line, journalMark) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// units is the real systemd. Its connection is made by the first call and made anew after it broke.
type units struct {
	runner Runner

	mu   sync.Mutex
	conn *dbus.Conn
}

// connect returns a connection that works as far as can be told.
func (u *units) connect(ctx context.Context) (*dbus.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil && u.conn.Connected() {
		return u.conn, nil
	}
	if u.conn != nil {
		u.conn.Close()
	}
	// The connection outlives this call, and the library ends it together with the context that it is given.
	conn, err := dbus.NewWithContext(context.WithoutCancel(ctx))
	if err != nil {
		u.conn = nil
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	u.conn = conn
	return conn, nil
}

// Close ends the connection if there is one.
func (u *units) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		u.conn.Close()
		u.conn = nil
	}
	return nil
}

func (u *units) Reload(ctx context.Context) error {
	conn, err := u.connect(ctx)
	if err == nil {
		err = conn.ReloadContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("reload systemd: %w", err)
	}
	return nil
}

func (u *units) Enable(ctx context.Context, names ...string) error {
	err := u.enable(ctx, names)
	if err == nil || len(names) == 1 {
		return err
	}
	var errs []error // systemd says of none what is wrong with one
	for _, name := range names {
		errs = append(errs, u.enable(ctx, []string{name}))
	}
	return errors.Join(errs...)
}

func (u *units) enable(ctx context.Context, names []string) error {
	conn, err := u.connect(ctx)
	if err == nil {
		var changes []dbus.EnableUnitFileChange
		// Force: a link of that name that points elsewhere is replaced.
		_, changes, err = conn.EnableUnitFilesContext(ctx, names, false, true)
		if err == nil && len(changes) > 0 {
			err = conn.ReloadContext(ctx) // as systemctl does: the new links count from then on
		}
	}
	if err != nil {
		return fmt.Errorf("enable %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

func (u *units) Disable(ctx context.Context, name string) error {
	conn, err := u.connect(ctx)
	if err != nil {
		return fmt.Errorf("disable %s: %w", name, err)
	}
	changes, err := conn.DisableUnitFilesContext(ctx, []string{name}, false)
	if err == nil && len(changes) > 0 {
		err = conn.ReloadContext(ctx)
	}
	if err != nil && !unknownUnit(err) {
		return fmt.Errorf("disable %s: %w", name, err)
	}
	return nil
}

func (u *units) Start(ctx context.Context, name string) error {
	return u.job(ctx, "start", name)
}

func (u *units) Restart(ctx context.Context, name string) error {
	return u.job(ctx, "restart", name)
}

func (u *units) Stop(ctx context.Context, name string) error {
	err := u.job(ctx, "stop", name)
	if unknownUnit(err) {
		return nil
	}
	return err
}

// job queues a job and waits for its end.
func (u *units) job(ctx context.Context, operation, name string) error {
	conn, err := u.connect(ctx)
	if err != nil {
		return fmt.Errorf("%s %s: %w", operation, name, err)
	}
	queue := conn.StopUnitContext
	switch operation {
	case "start":
		queue = conn.StartUnitContext
	case "restart":
		queue = conn.RestartUnitContext
	}
	if operation != "stop" {
		// Fails for a unit that was not loaded so far, which has no failures to forget.
		_ = conn.ResetFailedUnitContext(ctx, name)
	}
	ended := make(chan string, 1)
	if _, err := queue(ctx, name, "replace", ended); err != nil {
		return fmt.Errorf("%s %s: %w", operation, name, err)
	}
	result, err := await(ctx, conn, ended)
	if err != nil {
		return fmt.Errorf("%s %s: wait for the job: %w", operation, name, err)
	}
	if result == "done" {
		return nil
	}
	return u.failure(ctx, operation, name, result)
}

// await returns the job's result. The job itself goes on when ctx ends.
func await(ctx context.Context, conn *dbus.Conn, ended <-chan string) (string, error) {
	// A connection that breaks says nothing to those who wait.
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case result := <-ended:
			return result, nil
		case <-ctx.Done():
			return "", ctx.Err()
		case <-look.C:
			if !conn.Connected() {
				return "", errors.New("the connection to systemd broke")
			}
		}
	}
}

// failure gathers what is known; what cannot be had is left out, because the job's end is the message.
func (u *units) failure(ctx context.Context, operation, name, job string) error {
	failure := &UnitError{Operation: operation, Unit: name, Job: job}
	if conn, err := u.connect(ctx); err == nil {
		if properties, err := conn.GetAllPropertiesContext(ctx, name); err == nil {
			failure.State = unitState(properties)
			failure.Result, _ = properties["Result"].(string)
		}
	}
	// What the unit wrote last may not have reached the journal yet.
	_, _ = u.runner.Run(ctx, Command{Path: "journalctl", Args: []string{"--sync"}})
	output, err := u.runner.Run(ctx, Command{Path: "journalctl",
		Args: []string{"-u", name, "-n", fmt.Sprint(journalLines), "--no-pager", "-q", "-o", "cat"}})
	if text := strings.TrimSpace(string(output.Stdout)); err == nil && text != "" {
		failure.Journal = strings.Split(text, "\n")
	}
	return failure
}

func (u *units) State(ctx context.Context, name string) (UnitState, error) {
	conn, err := u.connect(ctx)
	if err != nil {
		return UnitState{}, fmt.Errorf("look at %s: %w", name, err)
	}
	properties, err := conn.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return UnitState{}, fmt.Errorf("look at %s: %w", name, err)
	}
	state := unitState(properties)
	// systemd itself does not see a drop-in whose directory is newer than its last reload.
	loaded, _ := properties["DropInPaths"].([]string)
	state.NeedsReload = state.NeedsReload || !slices.Equal(dropIns(name, loaded), dropIns(name, dropInsOnDisk(name, dropInDirs())))
	return state, nil
}

// dropInDirs are where people and packages put drop-ins. What systemctl set-property and generators put elsewhere, systemd knows.
func dropInDirs() []string {
	return []string{"/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
}

// dropIns returns the sorted names of those drop-ins in dropInDirs that are the unit's alone (not those of its type). A name in two
// directories counts once, as for systemd.
func dropIns(unit string, paths []string) []string {
	var names []string
	for _, path := range paths {
		dir := filepath.Dir(path)
		if filepath.Base(dir) == unit+".d" && slices.Contains(dropInDirs(), filepath.Dir(dir)) {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func dropInsOnDisk(unit string, dirs []string) []string {
	var found []string
	for _, dir := range dirs {
		// Not Glob, which takes a unit's name for a pattern. What cannot be read, systemd cannot read either.
		entries, _ := os.ReadDir(filepath.Join(dir, unit+".d"))
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".conf") && !strings.HasPrefix(entry.Name(), ".") {
				found = append(found, filepath.Join(dir, unit+".d", entry.Name()))
			}
		}
	}
	return found
}

func unitState(properties map[string]any) UnitState {
	text := func(name string) string {
		value, _ := properties[name].(string)
		return value
	}
	needsReload, _ := properties["NeedDaemonReload"].(bool)
	return UnitState{
		Load:   text("LoadState"),
		Active: text("ActiveState"),
		Sub:    text("SubState"),
		// Not "enabled-runtime", which a reboot forgets.
		Enabled:     text("UnitFileState") == "enabled",
		NeedsReload: needsReload,
	}
}

// answers is nil when systemd answers.
func (u *units) answers(ctx context.Context) error {
	conn, err := u.connect(ctx)
	if err != nil {
		return err
	}
	_, err = conn.SystemStateContext(ctx)
	return err
}

func unknownUnit(err error) bool {
	failure, ok := errors.AsType[godbus.Error](err)
	return ok && (failure.Name == "org.freedesktop.systemd1.NoSuchUnit" || failure.Name == "org.freedesktop.DBus.Error.FileNotFound" ||
		failure.Name == "System.Error.ENOENT")
}
