package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// TestParentDirectoriesAreNeverHalfMade: a run that is killed between making and correcting one would leave it closed for good.
func TestParentDirectoriesAreNeverHalfMade(t *testing.T) {
	needsRoot(t)
	defer syscall.Umask(syscall.Umask(0o022)) // what a login and systemd give
	const dirs = 200
	root := t.TempDir()
	path := func(i int) string { return filepath.Join(root, fmt.Sprint(i)) }
	seen := make(chan string, 1)
	go func() {
		defer close(seen)
		for i := 0; i < dirs && t.Context().Err() == nil; {
			info, err := os.Lstat(path(i))
			if err != nil {
				continue
			}
			if info.Mode().Perm() != 0o755 {
				seen <- fmt.Sprintf("%s was %v when it was made", path(i), info.Mode())
				return
			}
			i++
		}
	}()
	h := host.New()
	for i := range dirs {
		ok(t, h.Files.Write(t.Context(), filepath.Join(path(i), "file"), strings.NewReader(""), 0o644))
	}
	if what, found := <-seen; found {
		t.Error(what)
	}
}
