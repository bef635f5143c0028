package hosttest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func TestConformance(t *testing.T) {
	fake := hosttest.New()
	fake.OnRun("echo", func(_ context.Context, c host.Command) (host.Output, error) {
		return host.Output{Stdout: []byte(strings.Join(c.Args, " ") + "\n")}, nil
	})
	fake.OnRun("/bin/cat", func(_ context.Context, c host.Command) (host.Output, error) {
		data, err := io.ReadAll(c.Stdin)
		return host.Output{Stdout: data}, err
	})
	fake.OnRun("env", func(_ context.Context, c host.Command) (host.Output, error) {
		return host.Output{Stdout: []byte("PATH=/bin\n" + strings.Join(c.Env, "\n") + "\n")}, nil
	})
	fake.OnRun("/bin/sh", func(ctx context.Context, c host.Command) (host.Output, error) {
		if strings.HasPrefix(c.Args[1], "sleep") {
			<-ctx.Done()
			return host.Output{}, &host.RunError{Program: c.Path, ExitCode: -1, Cause: ctx.Err()}
		}
		return host.Output{Stdout: []byte("out\n"), Stderr: []byte("bad\n")},
			&host.RunError{Program: c.Path, ExitCode: 3, Stderr: "bad", Cause: errors.New("exit status 3")}
	})
	hosttest.Conformance(t, func(*testing.T) *host.Host { return fake.Host() }, "/scratch",
		hosttest.Files, hosttest.Runner, hosttest.Network, hosttest.Routes, hosttest.Prober, hosttest.Inspector, hosttest.Units, hosttest.Images, hosttest.Observer, hosttest.Service)
}

func TestLogAndFailures(t *testing.T) {
	boom := errors.New("boom")
	// A program of three changes, that is killed before each of them in turn and then run again.
	program := func(h *host.Host) error {
		ctx := t.Context()
		if err := h.Files.Write(ctx, "/etc/systemd/system/a.service", strings.NewReader("[Service]\nExecStart=/bin/a\n"), 0o644); err != nil {
			return err
		}
		if err := h.Units.Reload(ctx); err != nil {
			return err
		}
		return h.Units.Start(ctx, "a.service")
	}
	all := []string{"write /etc/systemd/system/a.service 0644 sha256:2e34b3b4e640", "reload", "start a.service"}
	for n := 1; n <= len(all); n++ {
		fake := hosttest.New()
		fake.FailAt(n, boom)
		if err := program(fake.Host()); !errors.Is(err, boom) {
			t.Errorf("killed before change %d: error is %v", n, err)
		}
		if got := fake.Log(); len(got) != n-1 {
			t.Errorf("killed before change %d: log is %q", n, got)
		}
		fake.ClearLog()
		if err := program(fake.Host()); err != nil {
			t.Errorf("run again: %v", err)
		}
		if got := fake.Log(); !slices.Equal(got, all) {
			t.Errorf("log is %q, want %q", got, all)
		}
	}
	fake := hosttest.New()
	fake.FailOn("start a.service", boom)
	for range 2 {
		if err := program(fake.Host()); !errors.Is(err, boom) {
			t.Errorf("error is %v", err)
		}
	}
	fake.FailOn("start a.service", nil)
	if err := program(fake.Host()); err != nil {
		t.Error(err)
	}
}
