package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func blobOf(t *testing.T, content string) v1.Descriptor {
	t.Helper()
	digest, size, err := v1.SHA256(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{Digest: digest, Size: size}
}

func gives(content string) download {
	return func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(content))), nil
	}
}

// What was not used for longest goes first; a use counts, and what fits stays.
func TestCacheShrinks(t *testing.T) {
	cache := t.TempDir()
	dir := filepath.Join(cache, "sha256")
	store := newCache(cache)
	for age, content := range []string{"newest", "middle", "oldest"} {
		blob := blobOf(t, content)
		if err := store.ensure(t.Context(), blob, gives(content)); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-time.Duration(age+1) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, blob.Digest.Hex), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := newCache(cache).ensure(t.Context(), blobOf(t, "oldest"), nil); err != nil {
		t.Fatal(err)
	}
	left := func() (out []string) {
		for _, content := range []string{"newest", "middle", "oldest"} {
			if _, err := os.Stat(filepath.Join(dir, blobOf(t, content).Digest.Hex)); err == nil {
				out = append(out, content)
			}
		}
		return out
	}
	shrink(dir, 18)
	if got := left(); len(got) != 3 {
		t.Errorf("of what fits, %v are left", got)
	}
	shrink(dir, 17)
	if got := left(); !slices.Equal(got, []string{"newest", "oldest"}) {
		t.Errorf("%v are left", got)
	}
}

// A layer that one image's registry refuses may come from another's.
func TestSharedLayerAtAnotherRegistry(t *testing.T) {
	store, blob := newCache(t.TempDir()), blobOf(t, "shared")
	second := make(chan error)
	err := store.ensure(t.Context(), blob, func(context.Context) (io.ReadCloser, error) {
		go func() { second <- store.ensure(t.Context(), blob, gives("shared")) }()
		time.Sleep(100 * time.Millisecond) // the other one waits by then
		return nil, errors.New("refused")
	})
	if err == nil {
		t.Error("the first image was not refused")
	}
	if err := <-second; err != nil {
		t.Errorf("the other image: %v", err)
	}
}
