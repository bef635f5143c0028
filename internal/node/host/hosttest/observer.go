package hosttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// running is what runs on the fake and what it wrote; set by a test.
type running struct {
	runs     map[string]host.UnitRun
	journals map[string][]host.JournalLine
	pods     []host.Pod
	disk     host.DiskUse
}

// SetUnit sets a unit's state, run and journal, as if it had come about by itself.
func (f *Fake) SetUnit(name string, state host.UnitState, run host.UnitRun, journal ...host.JournalLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.known(name)
	known.active, known.sub, known.enabled = state.Active, state.Sub, state.Enabled
	if known.loaded == "" && state.Load == "loaded" {
		known.loaded = "[Service]\n"
	}
	if f.running.runs == nil {
		f.running.runs, f.running.journals = map[string]host.UnitRun{}, map[string][]host.JournalLine{}
	}
	f.running.runs[name], f.running.journals[name] = run, journal
}

// SetPods sets what the container runtime has.
func (f *Fake) SetPods(pods ...host.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running.pods = pods
}

// SetDisk sets how full all file systems are.
func (f *Fake) SetDisk(disk host.DiskUse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running.disk = disk
}

// observerDoor is the door to what runs on the fake.
type observerDoor struct{ fake *Fake }

func (d observerDoor) Unit(ctx context.Context, name string) (host.UnitRun, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	return d.fake.running.runs[name], d.fake.look(ctx, "unit "+name)
}

func (d observerDoor) Journal(ctx context.Context, unit string, most int) ([]host.JournalLine, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "journal "+unit); err != nil {
		return nil, err
	}
	lines := d.fake.running.journals[unit]
	return slices.Clone(lines[max(0, len(lines)-most):]), nil
}

func (d observerDoor) Pods(ctx context.Context) ([]host.Pod, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	return slices.Clone(d.fake.running.pods), d.fake.look(ctx, "pods")
}

func (d observerDoor) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "open "+path); err != nil {
		return nil, err
	}
	found, err := d.fake.tree.find(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return readCloser{bytes.NewReader(slices.Clone(found.content))}, nil
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func (d observerDoor) Disk(ctx context.Context, path string) (host.DiskUse, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	return d.fake.running.disk, d.fake.look(ctx, "disk "+path)
}
