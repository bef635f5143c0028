// Package cache turns expensive results into directories that are kept by key, the least recently used going first.
// Used by the builder for programs and compressed layers.
package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const tempMark = "tmp-"

// Store is a directory of entries, locked for this process. Its methods may be called at the same time.
type Store struct {
	dir  string
	lock *os.File

	mu   sync.Mutex
	used map[string]bool
}

// DefaultDir is where the user's cache is, by GARDENADM_CACHE or else as the XDG specification says.
func DefaultDir(getenv func(string) string) (string, error) {
	for _, base := range []string{getenv("GARDENADM_CACHE"), getenv("XDG_CACHE_HOME")} {
		if base != "" {
			return filepath.Join(base, "gardenadm", "build"), nil
		}
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".cache", "gardenadm", "build"), nil
	}
	return "", errors.New("find cache directory: none of GARDENADM_CACHE, XDG_CACHE_HOME and HOME is set")
}

// Open locks the store. It waits for another process that holds it, after having told so.
func Open(dir string, waiting func()) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	err = flock(lock, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		waiting()
		err = flock(lock, unix.LOCK_EX)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock cache %s: %w", dir, err)
	}
	s := &Store{dir: dir, lock: lock, used: map[string]bool{}}
	if err := s.removeLeftovers(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Close lets other processes in.
func (s *Store) Close() error { return s.lock.Close() }

// Dir is where the entries are.
func (s *Store) Dir() string { return s.dir }

// Get finds an entry and marks it as used.
func (s *Store) Get(key string) (dir string, ok bool) {
	dir = filepath.Join(s.dir, key)
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil {
		return "", false
	}
	s.use(key)
	return dir, true
}

func (s *Store) use(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[key] = true
}

// Put lets fill write the entry into an empty directory and publishes it whole or not at all.
func (s *Store) Put(key string, fill func(dir string) error) (string, error) {
	work, err := os.MkdirTemp(s.dir, tempMark)
	if err != nil {
		return "", fmt.Errorf("add to cache: %w", err)
	}
	defer os.RemoveAll(work)
	if err := fill(work); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, key)
	// MkdirTemp makes directories for their user only.
	err = errors.Join(os.Chmod(work, 0o755), os.RemoveAll(dir))
	if err == nil {
		err = os.Rename(work, dir)
	}
	if err != nil {
		return "", fmt.Errorf("add to cache: %w", err)
	}
	s.use(key)
	return dir, nil
}

// Evict removes the entries that were not used for longest until the rest fits; those of this run stay in any case.
func (s *Store) Evict(limit int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, total, err := s.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if total <= limit {
			return nil
		}
		if s.used[e.key] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, e.key)); err != nil {
			return fmt.Errorf("evict from cache: %w", err)
		}
		total -= e.size
	}
	return nil
}

type entry struct {
	key  string
	used time.Time
	size int64
}

// entries lists all, the one that was not used for longest first.
func (s *Store) entries() (all []entry, total int64, err error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("list cache: %w", err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		info, err := d.Info()
		if err != nil {
			return nil, 0, fmt.Errorf("list cache: %w", err)
		}
		size, err := sizeOf(filepath.Join(s.dir, d.Name()))
		if err != nil {
			return nil, 0, fmt.Errorf("measure cache: %w", err)
		}
		all = append(all, entry{key: d.Name(), used: info.ModTime(), size: size})
		total += size
	}
	sort.Slice(all, func(i, j int) bool {
		if !all[i].used.Equal(all[j].used) {
			return all[i].used.Before(all[j].used)
		}
		return all[i].key < all[j].key
	})
	return all, total, nil
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// removeLeftovers removes what killed processes left. The lock is ours, so nobody works in these.
func (s *Store) removeLeftovers() error {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	for _, d := range dirs {
		if !strings.HasPrefix(d.Name(), tempMark) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.dir, d.Name())); err != nil {
			return fmt.Errorf("clean cache: %w", err)
		}
	}
	return nil
}
