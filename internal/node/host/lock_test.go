package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func TestLock(t *testing.T) {
	for name, open := range map[string]func() (*host.Host, string){
		"real": func() (*host.Host, string) { return host.New(), filepath.Join(t.TempDir(), "lock") },
		"fake": func() (*host.Host, string) { return hosttest.New().Host(), "/var/lib/gardenadm/lock" },
	} {
		t.Run(name, func(t *testing.T) {
			h, path := open()
			unlock, err := h.Locks.Lock(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Locks.Lock(t.Context(), path); !errors.Is(err, host.ErrLocked) {
				t.Errorf("got %v, want ErrLocked", err)
			}
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
			again, err := h.Locks.Lock(t.Context(), path)
			if err != nil {
				t.Fatalf("a released lock cannot be taken: %v", err)
			}
			if err := again(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLockFileIsForRootOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := host.New().Locks.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock() //nolint:errcheck // the test ends
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want 0600", info, err)
	}
}
