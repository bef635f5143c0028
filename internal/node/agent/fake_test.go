package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

var errKilled = errors.New("killed")

// machine is a machine as its operating system makes it, with two units of its own.
type machine struct {
	*hosttest.Fake
	t *testing.T
}

func booted(t *testing.T) *machine {
	t.Helper()
	m := &machine{Fake: hosttest.New(), t: t}
	ctx := context.Background()
	for name, content := range map[string]string{
		"systemd-sysctl.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\n",
		"unwanted.service":       "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n",
	} {
		m.must(m.Host().Files.Write(ctx, "/usr/lib/systemd/system/"+name, strings.NewReader(content), 0o644))
		m.must(m.Host().Units.Reload(ctx))
		m.must(m.Host().Units.Start(ctx, name))
		m.must(m.Host().Units.Enable(ctx, name))
	}
	m.ClearLog()
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// write is somebody else's change.
func (m *machine) write(path, content string) {
	m.t.Helper()
	m.must(m.Host().Files.Write(context.Background(), path, strings.NewReader(content), 0o600))
}

// reconcile is one run of a program, which knows nothing of the ones before.
func (m *machine) reconcile(w Want) Plan {
	m.t.Helper()
	plan, err := New(*m.Host(), source()).Reconcile(context.Background(), w)
	m.must(err)
	return plan
}

// kill lets every change from the n-th on fail, as after a kill; revive ends that.
func (m *machine) kill(n int) { m.fail(n, errKilled) }
func (m *machine) revive()    { m.fail(1, nil) }

func (m *machine) fail(from int, err error) {
	for i := from; i < from+200; i++ {
		m.FailAt(i, err)
	}
}

// state prints all files and the units.
func (m *machine) state(units []Unit) string {
	m.t.Helper()
	var out strings.Builder
	for _, info := range m.files("/") {
		fmt.Fprintf(&out, "%s %v %v %s\n", info.Path, info.Mode, info.Owner, info.SHA256)
	}
	for _, unit := range units {
		state, err := m.Host().Units.State(context.Background(), unit.Name)
		m.must(err)
		fmt.Fprintf(&out, "%s %+v\n", unit.Name, state)
	}
	return out.String()
}

// files lists everything below a directory.
func (m *machine) files(dir string) []host.FileInfo {
	m.t.Helper()
	names, err := m.Host().Files.List(context.Background(), dir)
	m.must(err)
	var out []host.FileInfo
	for _, name := range names {
		info, err := m.Host().Files.Stat(context.Background(), path.Join(dir, name))
		m.must(err)
		info.Path = path.Join(dir, name)
		out = append(out, info)
		if info.Mode.IsDir() {
			out = append(out, m.files(info.Path)...)
		}
	}
	return out
}

// images is a source: image → path → content.
type images struct {
	files    map[string]map[string]string
	digests  map[string]string
	extracts atomic.Int64
}

func (i *images) Digest(_ context.Context, image string) (string, error) {
	return i.digests[image], nil
}

func (i *images) Extract(_ context.Context, image string, paths []string, to func(string, io.Reader) error) error {
	i.extracts.Add(1)
	for _, p := range paths {
		content, ok := i.files[image][p]
		if !ok {
			return fmt.Errorf("no %s", p)
		}
		if err := to(p, strings.NewReader(content)); err != nil {
			return err
		}
	}
	return nil
}
