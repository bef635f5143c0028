package hosttest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// checkObserver checks what can be looked at on any machine; pods and units are looked at where test/e2e has them.
func checkObserver(t *testing.T, h *host.Host, dir string) {
	ctx := t.Context()
	file := path.Join(dir, "observed")
	if err := h.Files.Write(ctx, file, strings.NewReader("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := h.Observer.Open(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Seek(-4, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	end, err := io.ReadAll(opened)
	if err != nil || string(end) != "two\n" {
		t.Errorf("the end of the file is %q, %v", end, err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if _, err := h.Observer.Open(ctx, path.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gives error %v", err)
	}
	if _, err := h.Observer.Disk(ctx, dir); err != nil {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for what, look := range map[string]func() error{
		"open":    func() error { _, err := h.Observer.Open(cancelled, file); return err },
		"disk":    func() error { _, err := h.Observer.Disk(cancelled, dir); return err },
		"unit":    func() error { _, err := h.Observer.Unit(cancelled, "x.service"); return err },
		"journal": func() error { _, err := h.Observer.Journal(cancelled, "x.service", 1); return err },
	} {
		if err := look(); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, %s gives error %v", what, err)
		}
	}
}
