package source

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// cacheLimit is how many bytes the cache keeps from one run to the next: some twenty releases.
const cacheLimit = 2 << 30

// newCache opens a store of downloads, in which those go that were not used for longest. What this run downloads stays in any case.
func newCache(dir string) *store {
	shrink(filepath.Join(dir, "sha256"), cacheLimit)
	out := newStore(dir)
	out.used = func(digest v1.Hash) {
		now := time.Now()
		_ = os.Chtimes(filepath.Join(dir, digest.Algorithm, digest.Hex), now, now) // one that cannot be marked goes earlier
	}
	return out
}

// shrink removes the oldest files until the rest fits. One that stays although it should not does no harm.
func shrink(dir string, limit int64) {
	entries, _ := os.ReadDir(dir) // there may be none yet
	var files []fs.FileInfo
	var total int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			files, total = append(files, info), total+info.Size()
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, one := range files {
		if total <= limit {
			return
		}
		_ = os.Remove(filepath.Join(dir, one.Name()))
		total -= one.Size()
	}
}
