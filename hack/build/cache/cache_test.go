package cache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, func() { t.Error("nobody else holds the lock") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *Store, key string, size int) {
	t.Helper()
	_, err := s.Put(key, func(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), make([]byte, size), 0o644) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedFillLeavesNothing(t *testing.T) {
	s := openStore(t, t.TempDir())
	reason := errors.New("no")
	if _, err := s.Put("a", func(string) error { return reason }); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	if _, ok := s.Get("a"); ok {
		t.Error("the entry was published")
	}
	if all, _, _ := s.entries(); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

func TestEvictTakesTheLeastRecentlyUsedOfOthers(t *testing.T) {
	dir := t.TempDir()
	before := openStore(t, dir)
	for i, key := range []string{"old", "older", "oldest"} {
		put(t, before, key, 100)
		at := time.Now().Add(-time.Duration(i+1) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	before.Close()
	if err := os.Mkdir(filepath.Join(dir, tempMark+"killed"), 0o700); err != nil {
		t.Fatal(err)
	}

	s := openStore(t, dir)
	if _, err := os.Stat(filepath.Join(dir, tempMark+"killed")); err == nil {
		t.Error("what a killed process left is still there")
	}
	if _, ok := s.Get("oldest"); !ok {
		t.Fatal("oldest is gone")
	}
	put(t, s, "new", 100)
	if err := s.Evict(300); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"oldest": true, "new": true, "old": true, "older": false} {
		if _, got := s.Get(key); got != want {
			t.Errorf("%s is kept: %t, want %t", key, got, want)
		}
	}
	if err := s.Evict(0); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Get("new"); !ok {
		t.Error("an entry of this run was evicted")
	}
}

func TestSecondProcessWaits(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir)
	second, err := Open(dir, func() { first.Close() })
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestDefaultDir(t *testing.T) {
	cases := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"GARDENADM_CACHE": "/g", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/g/gardenadm/build"},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/gardenadm/build"},
		{map[string]string{"HOME": "/h"}, "/h/.cache/gardenadm/build"},
	}
	for _, c := range cases {
		if got, err := DefaultDir(func(key string) string { return c.env[key] }); err != nil || got != c.want {
			t.Errorf("%v: got %s, %v", c.env, got, err)
		}
	}
	if _, err := DefaultDir(func(string) string { return "" }); err == nil {
		t.Error("no variable set: want an error")
	}
}
