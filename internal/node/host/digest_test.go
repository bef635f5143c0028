package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDigestIsRemembered: what has not changed for a while is not read again; every change shows, also one that keeps size and times.
func TestDigestIsRemembered(t *testing.T) {
	door := files{digests: &digests{}}
	path := filepath.Join(t.TempDir(), "program")
	digest := func() string {
		t.Helper()
		info, err := door.Stat(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return info.SHA256
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("a", digestFrom))
	first := digest()
	if len(door.digests.byPath) != 0 {
		t.Error("the digest of a file that was just written is remembered: a second change may not show")
	}
	time.Sleep(digestAge + 100*time.Millisecond)
	if digest() != first || door.digests.byPath[path].sha256 != first {
		t.Error("the digest is not remembered")
	}
	// A wrong one shows that it is not made anew.
	known := door.digests.byPath[path]
	known.sha256 = "remembered"
	door.digests.byPath[path] = known
	if digest() != "remembered" {
		t.Error("the file is read again")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(strings.Repeat("b", digestFrom))
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := digest(); got == "remembered" || got == first {
		t.Errorf("after a change that keeps size and modification time: %s", got)
	}
	write("small")
	if got := digest(); len(door.digests.byPath) != 1 || len(got) != 64 {
		t.Errorf("a small file: %s, %d remembered", got, len(door.digests.byPath))
	}
}
