package golden

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Inputs returns a directory below test/testdata: what unit tests, e2e and docs share.
func Inputs(t testing.TB, dir string) fs.FS {
	t.Helper()
	here, err := os.Getwd() // that of the package under test
	for err == nil {
		if _, err := os.Stat(filepath.Join(here, "go.mod")); err == nil {
			return os.DirFS(filepath.Join(here, "test/testdata", dir))
		}
		if here == filepath.Dir(here) {
			err = errors.New("no go.mod above it")
		}
		here = filepath.Dir(here)
	}
	t.Fatalf("find module of %s: %v", dir, err)
	return nil
}
