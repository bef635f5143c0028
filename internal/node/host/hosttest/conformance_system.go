package hosttest

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

func checkProcesses(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	arguments := []string{"sleep", "61.25"}
	find := func() []host.Process {
		return slices.DeleteFunc(got[[]host.Process](t)(h.Processes.List(ctx)), func(p host.Process) bool { return !slices.Equal(p.Args[min(1, len(p.Args)):], arguments[1:]) })
	}
	ended := make(chan error, 1)
	go func() {
		_, err := h.Runner.Run(ctx, host.Command{Path: arguments[0], Args: arguments[1:]})
		ended <- err
	}()
	var found []host.Process
	for range 200 {
		if found = find(); len(found) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(found) != 1 || found[0].PID <= 1 || !strings.HasPrefix(found[0].Program, "/") || found[0].Contained {
		t.Fatalf("found %+v, want one process", found)
	}
	// Another process with its number is none of ours.
	other := found[0]
	other.Started++
	if err := h.Processes.Kill(ctx, other); err != nil {
		t.Errorf("kill a process that is gone: %v", err)
	}
	if len(find()) != 1 {
		t.Fatal("a process was killed for another one")
	}
	twice(t, func() error { return h.Processes.Kill(ctx, found[0]) })
	if err := <-ended; err == nil {
		t.Error("the killed program ends well")
	}
	if left := find(); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
	if found := got[[]string](t)(h.Processes.Cgroups(ctx, "gardenadm-conformance-none")); len(found) > 0 {
		t.Errorf("cgroups are %q", found)
	}
	twice(t, func() error { return h.Processes.RemoveCgroup(ctx, "/gardenadm-conformance-none") })
	for _, refused := range []string{"/", "relative", "/x/.."} {
		if err := h.Processes.RemoveCgroup(ctx, refused); err == nil {
			t.Errorf("removing cgroup %q is not refused", refused)
		}
	}
	cancelled(t, func(ctx context.Context) error { _, err := h.Processes.List(ctx); return err })
}

func checkKernel(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	const forward = "net/ipv4/ip_forward"
	settings := got[map[string]string](t)(h.Kernel.Settings(ctx))
	if value := settings[forward]; value != "0" && value != "1" {
		t.Errorf("%s is %q", forward, value)
	}
	twice(t, func() error { return h.Kernel.Set(ctx, forward, settings[forward]) })
	if again := got[map[string]string](t)(h.Kernel.Settings(ctx)); again[forward] != settings[forward] {
		t.Errorf("%s is %q, was %q", forward, again[forward], settings[forward])
	}
	for _, wrong := range []string{"net/ipv4/no_such_setting", "../self/comm", ""} {
		if err := h.Kernel.Set(ctx, wrong, "1"); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("setting %q gives error %v, want one that names it", wrong, err)
		}
	}
	if modules := got[[]string](t)(h.Kernel.Modules(ctx)); !slices.IsSorted(modules) {
		t.Errorf("modules %q are not in order", modules)
	}
	cancelled(t,
		func(ctx context.Context) error { _, err := h.Kernel.Settings(ctx); return err },
		func(ctx context.Context) error { return h.Kernel.Set(ctx, forward, settings[forward]) },
		func(ctx context.Context) error { _, err := h.Kernel.Modules(ctx); return err })
}

func checkTrees(t *testing.T, h *host.Host, dir string) {
	ctx := t.Context()
	root := path.Join(dir, "trees")
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(h.Files.Write(ctx, path.Join(root, "a/b/file"), strings.NewReader("12345"), 0o640))
	ok(h.Files.Write(ctx, path.Join(root, "a.conf"), strings.NewReader(""), 0o644))
	ok(h.Files.Symlink(ctx, "a", path.Join(root, "link")))
	names := func(depth int) []string {
		var out []string
		for _, info := range got[[]host.FileInfo](t)(h.Trees.Walk(ctx, root, depth, 100)) {
			out = append(out, strings.TrimPrefix(info.Path, root))
		}
		return out
	}
	all := []string{"", "/a", "/a/b", "/a/b/file", "/a.conf", "/link"}
	for depth, want := range map[int][]string{0: {""}, 1: {"", "/a", "/a.conf", "/link"}, -1: all, 3: all} {
		if have := names(depth); !slices.Equal(have, want) {
			t.Errorf("depth %d: %q, want %q", depth, have, want)
		}
	}
	for _, info := range got[[]host.FileInfo](t)(h.Trees.Walk(ctx, root, -1, 6)) {
		switch path.Base(info.Path) {
		case "file":
			if info.Mode != 0o640 || info.Size != 5 || info.SHA256 != "" {
				t.Errorf("file is %+v", info)
			}
		case "link":
			if info.Mode.Type() != fs.ModeSymlink || info.Target != "a" {
				t.Errorf("link is %+v", info)
			}
		}
	}
	if _, err := h.Trees.Walk(ctx, root, -1, 5); err == nil {
		t.Error("six files are no more than five")
	}
	if missing, err := h.Trees.Walk(ctx, path.Join(root, "missing"), -1, 5); err != nil || len(missing) > 0 {
		t.Errorf("a missing directory has %+v (%v)", missing, err)
	}
	cancelled(t, func(ctx context.Context) error { _, err := h.Trees.Walk(ctx, root, -1, 100); return err })
}

func checkUnitTable(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	c := unitCheck{t, h}
	find := func(name string) []host.UnitEntry {
		return slices.DeleteFunc(got[[]host.UnitEntry](t)(h.UnitTable.List(ctx)), func(u host.UnitEntry) bool { return u.Name != name })
	}
	fails := unitPrefix + "left.service"
	c.write(fails, "Type=oneshot\nExecStart=/bin/false")
	c.ok(h.Units.Reload(ctx))
	if found := find(fails); len(found) > 0 {
		t.Errorf("before its start, found %+v", found)
	}
	if err := h.Units.Start(ctx, fails); err == nil {
		t.Fatal("no error")
	}
	want := host.UnitEntry{Name: fails, Load: "loaded", Active: "failed", Sub: "failed"}
	if found := find(fails); !slices.Equal(found, []host.UnitEntry{want}) {
		t.Errorf("found %+v, want %+v", found, want)
	}
	c.ok(h.Files.Remove(ctx, path.Join("/etc/systemd/system", fails)))
	c.ok(h.Units.Reload(ctx))
	want.Load = "not-found"
	if found := find(fails); !slices.Equal(found, []host.UnitEntry{want}) {
		t.Errorf("without its file, found %+v, want %+v", found, want)
	}
	twice(t, func() error { return h.UnitTable.Forget(ctx, fails) })
	if found := find(fails); len(found) > 0 {
		t.Errorf("forgotten, found %+v", found)
	}
}

// checkRuntime needs images, which checkImages leaves.
func checkRuntime(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	got[[]host.Sandbox](t)(h.Runtime.Sandboxes(ctx))
	twice(t, func() error { return h.Runtime.RemoveSandbox(ctx, "none", time.Second) })
	holding := func() host.Holding {
		list := got[[]host.Holding](t)(h.Runtime.Holdings(ctx))
		at := slices.IndexFunc(list, func(one host.Holding) bool { return one.Namespace == "k8s.io" })
		if at < 0 {
			t.Fatalf("namespaces %+v: want k8s.io", list)
		}
		return list[at]
	}
	before := holding()
	if len(before.Images) < 2 || !slices.IsSorted(before.Images) || !slices.IsSorted(before.Containers) {
		t.Fatalf("it holds %+v", before)
	}
	keep := host.Holding{Containers: before.Containers, Images: before.Images[1:]}
	twice(t, func() error { return h.Runtime.Clear(ctx, "k8s.io", keep) })
	if after := holding(); !slices.Equal(after.Images, keep.Images) || !slices.Equal(after.Containers, keep.Containers) {
		t.Errorf("it holds %+v, want %+v", after, keep)
	}
	twice(t, func() error { return h.Runtime.Clear(ctx, "gardenadm-conformance-none", host.Holding{}) })
}
