package hosttest

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

const unitPrefix = "gardenadm-conformance-"

// unitCheck has the words of the check of Units.
type unitCheck struct {
	t *testing.T
	h *host.Host
}

func (c unitCheck) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// write makes a unit, and its removal for the end.
func (c unitCheck) write(name, service string) {
	c.t.Helper()
	file := path.Join("/etc/systemd/system", name)
	text := "[Unit]\nDescription=conformance\n[Service]\n" + service + "\n[Install]\nWantedBy=multi-user.target\n"
	c.ok(c.h.Files.Write(c.t.Context(), file, strings.NewReader(text), 0o644))
	c.t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(c.h.Units.Stop(ctx, name), c.h.Units.Disable(ctx, name), c.h.Files.Remove(ctx, file), c.h.Units.Reload(ctx)); err != nil {
			c.t.Error(err)
		}
	})
}

func (c unitCheck) state(name string, want host.UnitState) {
	c.t.Helper()
	got, err := c.h.Units.State(c.t.Context(), name)
	c.ok(err)
	if got != want {
		c.t.Errorf("%s is %+v, want %+v", name, got, want)
	}
}

func checkUnits(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	c := unitCheck{t, h}

	unknown := unitPrefix + "unknown.service"
	c.state(unknown, host.UnitState{Load: "not-found", Active: "inactive", Sub: "dead"})
	c.ok(h.Units.Stop(ctx, unknown))
	c.ok(h.Units.Disable(ctx, unknown))
	enable := func(ctx context.Context, name string) error { return h.Units.Enable(ctx, name) }
	for operation, do := range map[string]func(context.Context, string) error{"start": h.Units.Start, "restart": h.Units.Restart, "enable": enable} {
		if err := do(ctx, unknown); err == nil || !strings.Contains(err.Error(), unknown) {
			t.Errorf("%s of an unknown unit gives error %v", operation, err)
		}
	}

	runs := unitPrefix + "runs.service"
	c.write(runs, "ExecStart=/bin/sleep 1000")
	c.ok(h.Units.Reload(ctx))
	c.state(runs, host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead"})
	running := host.UnitState{Load: "loaded", Active: "active", Sub: "running"}
	for range 2 { // every wish may be said again
		c.ok(h.Units.Start(ctx, runs))
		c.state(runs, running)
	}
	c.ok(h.Units.Restart(ctx, runs))
	c.state(runs, running)
	running.Enabled = true
	if err := h.Units.Enable(ctx, unknown, runs); err == nil || !strings.Contains(err.Error(), unknown) {
		t.Errorf("to enable an unknown unit and another one gives error %v", err)
	}
	for range 2 {
		c.state(runs, running)
		c.ok(h.Units.Enable(ctx, runs))
	}
	c.state(runs, running)
	c.write(runs, "ExecStart=/bin/sleep 2000")
	running.NeedsReload = true
	c.state(runs, running)
	c.ok(h.Units.Reload(ctx))
	running.NeedsReload = false
	c.state(runs, running)
	dropIn := "/etc/systemd/system/" + runs + ".d"
	t.Cleanup(func() { c.ok(h.Files.Remove(context.Background(), dropIn)) })
	for _, change := range []func() error{
		func() error {
			return h.Files.Write(ctx, dropIn+"/10-conformance.conf", strings.NewReader("[Service]\nNice=1\n"), 0o644)
		},
		func() error {
			return h.Files.Write(ctx, dropIn+"/10-conformance.conf", strings.NewReader("[Service]\nNice=2\n"), 0o644)
		},
		func() error { return h.Files.Remove(ctx, dropIn) },
	} {
		c.ok(change())
		running.NeedsReload = true
		c.state(runs, running)
		c.ok(h.Units.Reload(ctx))
		running.NeedsReload = false
		c.state(runs, running)
	}
	for range 2 {
		c.ok(h.Units.Stop(ctx, runs))
		c.state(runs, host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead", Enabled: true})
	}
	for range 2 {
		c.ok(h.Units.Disable(ctx, runs))
		c.state(runs, host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead"})
	}

	once := unitPrefix + "once.service"
	c.write(once, "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true")
	c.ok(h.Units.Reload(ctx))
	c.ok(h.Units.Start(ctx, once))
	c.state(once, host.UnitState{Load: "loaded", Active: "active", Sub: "exited"})

	fails := unitPrefix + "fails.service"
	c.write(fails, "Type=oneshot\nExecStart=/bin/false")
	c.ok(h.Units.Reload(ctx))
	failed := host.UnitState{Load: "loaded", Active: "failed", Sub: "failed"}
	for range 8 { // systemd allows five starts in ten seconds, unless the count is cleared
		err := h.Units.Restart(ctx, fails)
		failure, ok := errors.AsType[*host.UnitError](err)
		if !ok || failure.Unit != fails || failure.Job != "failed" || failure.State != failed || failure.Result != "exit-code" {
			t.Fatalf("a unit that fails gives error %#v", err)
		}
		if len(failure.Journal) == 0 || len(failure.Journal) > 10 || !strings.Contains(err.Error(), failure.Journal[0]) {
			t.Fatalf("the error has these lines of the journal: %q", failure.Journal)
		}
	}
	c.state(fails, failed)
	c.write(fails, "Type=oneshot\nExecStart=/bin/true")
	c.ok(h.Units.Reload(ctx))
	c.ok(h.Units.Start(ctx, fails))
	c.state(fails, host.UnitState{Load: "loaded", Active: "inactive", Sub: "dead"})

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := h.Units.Start(cancelled, runs); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled start gives error %v", err)
	}
	// A cancelled call does not break the connection for the others.
	c.state(once, host.UnitState{Load: "loaded", Active: "active", Sub: "exited"})
	c.ok(h.Close())
	c.state(once, host.UnitState{Load: "loaded", Active: "active", Sub: "exited"})
}
