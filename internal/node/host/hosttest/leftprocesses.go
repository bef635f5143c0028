package hosttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// processesDoor is the door to the fake's processes.
type processesDoor struct{ fake *Fake }

func (d processesDoor) List(ctx context.Context) ([]host.Process, error) {
	return locked(ctx, d.fake, "processes", func() []host.Process {
		return slices.SortedFunc(slices.Values(d.fake.left.Processes), func(a, b host.Process) int { return a.PID - b.PID })
	})
}

func (d processesDoor) Kill(ctx context.Context, process host.Process) error {
	return d.fake.changing(ctx, fmt.Sprintf("kill %d %s", process.PID, process.Program), func() error {
		remove(&d.fake.left.Processes, func(p host.Process) bool { return p.PID == process.PID && p.Started == process.Started })
		return nil
	})
}

func (d processesDoor) Cgroups(ctx context.Context, prefix string) ([]string, error) {
	return locked(ctx, d.fake, "cgroups", func() []string {
		var out []string
		for _, name := range d.fake.left.Cgroups {
			if strings.HasPrefix(path.Base(name), prefix) && path.Dir(name) == "/" {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	})
}

func (d processesDoor) RemoveCgroup(ctx context.Context, name string) error {
	if err := absolute(name); err != nil || path.Clean(name) == "/" {
		return fmt.Errorf("remove cgroup %s: it is no path below the root", name)
	}
	return d.fake.changing(ctx, "remove cgroup "+name, func() error {
		in := func(cgroup string) bool { return cgroup == name || strings.HasPrefix(cgroup, name+"/") }
		remove(&d.fake.left.Cgroups, in)
		remove(&d.fake.left.Processes, func(p host.Process) bool { return in(p.Cgroup) })
		return nil
	})
}

// runtimeDoor is the door to the fake's containerd, which answers while its unit is active.
type runtimeDoor struct{ fake *Fake }

// dirContainerd is where the fake's containerd remembers what it has.
const dirContainerd = "/var/lib/containerd"

// forgetContainers is what comes of the loss of that directory. The caller holds the lock.
func (f *Fake) forgetContainers() {
	f.images, f.blobs = map[string]host.Image{}, map[string][]byte{}
	f.left.Sandboxes, f.left.Holdings = nil, nil
}

// answers returns the error of a call that finds nobody. The caller holds the lock.
func (d runtimeDoor) answers() error {
	if found := d.fake.units["containerd.service"]; found == nil || found.active != "active" {
		return errors.New("connect to containerd: connection refused")
	}
	return nil
}

func (d runtimeDoor) Sandboxes(ctx context.Context) ([]host.Sandbox, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := errors.Join(d.fake.look(ctx, "sandboxes"), d.answers()); err != nil {
		return nil, err
	}
	return slices.SortedFunc(slices.Values(d.fake.left.Sandboxes), host.CompareSandboxes), nil
}

// RemoveSandbox takes with it what has the sandbox's ID in its name, as containerd does.
func (d runtimeDoor) RemoveSandbox(ctx context.Context, id string, _ time.Duration) error {
	return d.fake.changing(ctx, "remove sandbox "+id, func() error {
		if err := d.answers(); err != nil {
			return err
		}
		left := &d.fake.left
		if !remove(&left.Sandboxes, func(s host.Sandbox) bool { return s.ID == id }) {
			return nil
		}
		remove(&left.Processes, func(p host.Process) bool { return slices.Contains(p.Args, id) || strings.Contains(p.Cgroup, id) })
		remove(&left.Mounts, func(m host.Mount) bool { return strings.Contains(m.Path, "/"+id+"/") })
		for i := range left.Holdings {
			remove(&left.Holdings[i].Containers, func(c string) bool { return c == id })
		}
		return nil
	})
}

func (d runtimeDoor) Holdings(ctx context.Context) ([]host.Holding, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := errors.Join(d.fake.look(ctx, "holdings"), d.answers()); err != nil {
		return nil, err
	}
	merged := map[string]host.Holding{}
	add := func(more host.Holding) {
		one := merged[more.Namespace]
		one.Namespace = more.Namespace
		one.Containers = slices.Compact(slices.Sorted(slices.Values(slices.Concat(one.Containers, more.Containers))))
		one.Images = slices.Compact(slices.Sorted(slices.Values(slices.Concat(one.Images, more.Images))))
		merged[more.Namespace] = one
	}
	for _, one := range d.fake.left.Holdings {
		add(one)
	}
	if len(d.fake.images) > 0 {
		add(host.Holding{Namespace: "k8s.io", Images: slices.Collect(maps.Keys(d.fake.images))})
	}
	var out []host.Holding
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		out = append(out, merged[name])
	}
	return out, nil
}

func (d runtimeDoor) Clear(ctx context.Context, namespace string, keep host.Holding) error {
	return d.fake.changing(ctx, "clear "+namespace, func() error {
		if err := d.answers(); err != nil {
			return err
		}
		left := &d.fake.left
		for i := range left.Holdings {
			if one := &left.Holdings[i]; one.Namespace == namespace {
				remove(&one.Containers, func(c string) bool { return !slices.Contains(keep.Containers, c) })
				remove(&one.Images, func(image string) bool { return !slices.Contains(keep.Images, image) })
			}
		}
		if namespace == "k8s.io" {
			maps.DeleteFunc(d.fake.images, func(name string, _ host.Image) bool { return !slices.Contains(keep.Images, name) })
		}
		if keep.Empty() {
			remove(&left.Holdings, func(h host.Holding) bool { return h.Namespace == namespace })
		}
		return nil
	})
}
