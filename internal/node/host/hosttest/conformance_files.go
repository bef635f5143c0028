package hosttest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

func checkFiles(t *testing.T, h *host.Host, dir string) {
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stat := func(name string) host.FileInfo {
		t.Helper()
		info, err := h.Files.Stat(ctx, name)
		ok(err)
		return info
	}

	t.Run("Write", func(t *testing.T) {
		file := path.Join(dir, "write/deep/er/file")
		ok(h.Files.Write(ctx, file, strings.NewReader("one"), 0o600))
		for _, parent := range []string{"write", "write/deep", "write/deep/er"} {
			if info := stat(path.Join(dir, parent)); info.Mode != fs.ModeDir|0o755 || info.Owner != (host.Owner{}) {
				t.Errorf("parent %s is %v %v", parent, info.Mode, info.Owner)
			}
		}
		ok(h.Files.Write(ctx, file, strings.NewReader("second"), 0o666)) // any umask would take bits away
		info := stat(file)
		want := host.FileInfo{Path: file, Mode: 0o666, Size: 6, SHA256: sum([]byte("second"))}
		if info != want {
			t.Errorf("file is %+v, want %+v", info, want)
		}
		ok(h.Files.Write(ctx, file, strings.NewReader("second"), 0o755|fs.ModeSetuid))
		if info := stat(file); info.Mode != 0o755|fs.ModeSetuid {
			t.Errorf("mode is %v, want setuid", info.Mode)
		}
		data, err := h.Files.Read(ctx, file)
		ok(err)
		if string(data) != "second" {
			t.Errorf("content is %q", data)
		}
	})

	t.Run("FailedWriteChangesNothing", func(t *testing.T) {
		file := path.Join(dir, "failed/file")
		ok(h.Files.Write(ctx, file, strings.NewReader("old"), 0o644))
		broken := errors.New("broken pipe")
		content := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))
		if err := h.Files.Write(ctx, file, content, 0o644); !errors.Is(err, broken) {
			t.Errorf("error is %v, want its cause %v", err, broken)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if err := h.Files.Write(cancelled, file, strings.NewReader("new"), 0o644); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled write gives error %v", err)
		}
		if data, err := h.Files.Read(ctx, file); err != nil || string(data) != "old" {
			t.Errorf("content is %q (%v), want the old one", data, err)
		}
		names, err := h.Files.List(ctx, path.Dir(file))
		ok(err)
		if !slices.Equal(names, []string{"file"}) {
			t.Errorf("directory has %q: something is left behind", names)
		}
		if err := h.Files.Write(ctx, path.Dir(file), strings.NewReader("x"), 0o644); err == nil {
			t.Error("a file is written over a directory")
		}
	})

	t.Run("Symlink", func(t *testing.T) {
		link := path.Join(dir, "links/link")
		ok(h.Files.Write(ctx, path.Join(dir, "links/file"), strings.NewReader("content"), 0o644))
		ok(h.Files.Symlink(ctx, "nowhere", link))
		ok(h.Files.Symlink(ctx, "file", link))
		if info := stat(link); info.Target != "file" || info.Mode.Type() != fs.ModeSymlink || info.SHA256 != "" {
			t.Errorf("link is %+v", info)
		}
		if behind, err := h.Files.Resolve(ctx, link); err != nil || behind != path.Join(dir, "links/file") {
			t.Errorf("the link leads to %q (%v)", behind, err)
		}
		if _, err := h.Files.Resolve(ctx, path.Join(dir, "links/missing")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a missing file leads to %v", err)
		}
		if data, err := h.Files.Read(ctx, link); err != nil || string(data) != "content" {
			t.Errorf("content behind the link is %q (%v)", data, err)
		}
		ok(h.Files.Write(ctx, link, strings.NewReader("own"), 0o644))
		if data, err := h.Files.Read(ctx, path.Join(dir, "links/file")); err != nil || string(data) != "content" {
			t.Errorf("the write went through the link: %q (%v)", data, err)
		}
		ok(h.Files.Symlink(ctx, "file", link))
		names, err := h.Files.List(ctx, path.Join(dir, "links"))
		ok(err)
		if !slices.Equal(names, []string{"file", "link"}) {
			t.Errorf("directory has %q", names)
		}
	})

	t.Run("MakeDir", func(t *testing.T) {
		made := path.Join(dir, "dirs/a/b")
		ok(h.Files.MakeDir(ctx, made, host.Owner{UID: 65532, GID: 65533}, 0o700))
		if info := stat(made); info.Mode != fs.ModeDir|0o700 || info.Owner != (host.Owner{UID: 65532, GID: 65533}) || info.SHA256 != "" {
			t.Errorf("directory is %+v", info)
		}
		if info := stat(path.Dir(made)); info.Mode != fs.ModeDir|0o755 || info.Owner != (host.Owner{}) {
			t.Errorf("its parent is %+v", info)
		}
		ok(h.Files.MakeDir(ctx, made, host.Owner{}, 0o777))
		if info := stat(made); info.Mode != fs.ModeDir|0o777 || info.Owner != (host.Owner{}) {
			t.Errorf("directory made again is %+v", info)
		}
		file := path.Join(dir, "dirs/file")
		ok(h.Files.Write(ctx, file, strings.NewReader(""), 0o644))
		if err := h.Files.MakeDir(ctx, file, host.Owner{}, 0o755); err == nil {
			t.Error("a directory is made where a file is")
		}
	})

	t.Run("Remove", func(t *testing.T) {
		ok(h.Files.Write(ctx, path.Join(dir, "remove/a/b"), strings.NewReader(""), 0o644))
		ok(h.Files.Write(ctx, path.Join(dir, "removed-not"), strings.NewReader(""), 0o644))
		ok(h.Files.Remove(ctx, path.Join(dir, "remove")))
		ok(h.Files.Remove(ctx, path.Join(dir, "remove")))
		ok(h.Files.Remove(ctx, path.Join(dir, "never/was")))
		if _, err := h.Files.Stat(ctx, path.Join(dir, "remove")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removed directory: %v", err)
		}
		stat(path.Join(dir, "removed-not"))
		for _, refused := range []string{"/", "//", "/x/..", "relative", ""} {
			if err := h.Files.Remove(ctx, refused); err == nil {
				t.Errorf("removing %q is not refused", refused)
			}
		}
	})

	t.Run("Missing", func(t *testing.T) {
		missing := path.Join(dir, "missing")
		_, readErr := h.Files.Read(ctx, missing)
		_, statErr := h.Files.Stat(ctx, missing)
		_, listErr := h.Files.List(ctx, missing)
		for _, err := range []error{readErr, statErr, listErr} {
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
				t.Errorf("error is %v, want fs.ErrNotExist with the path", err)
			}
		}
	})
}
