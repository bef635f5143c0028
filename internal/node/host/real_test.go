package host_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

// realMachine says that this machine may be changed for good, as test/e2e does inside of a machine that it throws away.
// With the value "images" containerd runs there too.
const realMachine = "GARDENADM_REAL_MACHINE"

func TestConformance(t *testing.T) {
	parts := []hosttest.Part{hosttest.Runner, hosttest.Network, hosttest.Prober}
	if os.Geteuid() == 0 {
		parts = append(parts, hosttest.Inspector, hosttest.Files, hosttest.Observer)
	}
	if os.Getenv(realMachine) != "" {
		parts = append(parts, hosttest.Units, hosttest.Routes)
	}
	if os.Getenv(realMachine) == "images" {
		parts = append(parts, hosttest.Images, hosttest.Runtime)
	}
	hosttest.Conformance(t, func(*testing.T) *host.Host { return host.New() }, t.TempDir(), parts...)
	if os.Getenv(realMachine) == "images" {
		t.Run("ImagesForKubelet", imagesForKubelet)
	}
}

func TestConformanceOfService(t *testing.T) {
	h := host.New()
	h.Service = host.ServiceOfTest(t)
	hosttest.Conformance(t, func(*testing.T) *host.Host { return h }, t.TempDir(), hosttest.Service)
}

func TestWriteOverRunningProgram(t *testing.T) {
	needsRoot(t)
	h, ctx := host.New(), t.Context()
	program := filepath.Join(t.TempDir(), "program")
	sleep, err := os.ReadFile("/bin/sleep")
	ok(t, err)
	ok(t, h.Files.Write(ctx, program, bytes.NewReader(sleep), 0o755))
	running := exec.Command(program, "60")
	ok(t, running.Start())
	t.Cleanup(func() { _ = errors.Join(running.Process.Kill(), running.Wait()) })
	ok(t, h.Files.Write(ctx, program, bytes.NewReader(sleep), 0o755))
}

func TestWriteIsNotOwnedByDirectorysGroup(t *testing.T) {
	needsRoot(t)
	h, ctx := host.New(), t.Context()
	dir := filepath.Join(t.TempDir(), "shared")
	ok(t, h.Files.MakeDir(ctx, dir, host.Owner{GID: 1234}, 0o775|fs.ModeSetgid))
	ok(t, h.Files.Write(ctx, filepath.Join(dir, "sub/file"), strings.NewReader(""), 0o640))
	for path, mode := range map[string]fs.FileMode{"sub": fs.ModeDir | 0o755, "sub/file": 0o640} {
		info, err := h.Files.Stat(ctx, filepath.Join(dir, path))
		ok(t, err)
		if info.Owner != (host.Owner{}) || info.Mode != mode {
			t.Errorf("%s is %v %v, want root's and %v", path, info.Owner, info.Mode, mode)
		}
	}
}

func TestModesInSpiteOfUmask(t *testing.T) {
	needsRoot(t)
	defer syscall.Umask(syscall.Umask(0o077))
	hosttest.Conformance(t, func(*testing.T) *host.Host { return host.New() }, t.TempDir(), hosttest.Files)
}

func TestRemoveRefusesMounts(t *testing.T) {
	if os.Getenv(realMachine) == "" {
		t.Skip("mounts a file system")
	}
	h, ctx := host.New(), t.Context()
	dir := t.TempDir()
	mount := filepath.Join(dir, "volumes/a b")
	ok(t, os.MkdirAll(mount, 0o755))
	ok(t, syscall.Mount("tmpfs", mount, "tmpfs", 0, ""))
	mounted := true
	t.Cleanup(func() {
		if mounted {
			ok(t, syscall.Unmount(mount, 0))
		}
	})
	data := filepath.Join(mount, "data")
	ok(t, os.WriteFile(data, []byte("precious"), 0o644))
	for _, path := range []string{mount, filepath.Join(dir, "volumes")} {
		if err := h.Files.Remove(ctx, path); err == nil || !strings.Contains(err.Error(), mount) {
			t.Errorf("remove %s: error is %v, want one that names the mount", path, err)
		}
	}
	ok(t, h.Files.Remove(ctx, data))
	ok(t, syscall.Unmount(mount, 0))
	mounted = false
	ok(t, h.Files.Remove(ctx, filepath.Join(dir, "volumes")))
}

func TestProbeLeavesScore(t *testing.T) {
	before, err := os.ReadFile("/proc/self/oom_score_adj")
	ok(t, err)
	facts, err := host.New().Prober.Probe(t.Context())
	ok(t, err)
	after, err := os.ReadFile("/proc/self/oom_score_adj")
	ok(t, err)
	if !bytes.Equal(before, after) {
		t.Errorf("own score was %s and is %s now", before, after)
	}
	if os.Getenv(realMachine) != "" && !facts.Systemd {
		t.Errorf("facts %+v: systemd is not found", facts)
	}
	t.Logf("facts: %+v", facts)
}

func TestWithoutContainerd(t *testing.T) {
	h := host.New(host.WithContainerd(filepath.Join(t.TempDir(), "none.sock")))
	if err := h.Images.Ready(t.Context()); err == nil {
		t.Error("ready without a containerd")
	}
	if _, err := h.Images.List(t.Context()); err == nil {
		t.Error("images without a containerd")
	}
	ok(t, h.Close())
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
