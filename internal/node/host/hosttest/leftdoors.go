package hosttest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// locked runs an operation that only looks, or fails as it is told to.
func locked[T any](ctx context.Context, f *Fake, line string, look func() T) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(ctx, line); err != nil {
		var none T
		return none, err
	}
	return look(), nil
}

// changing runs an operation that changes the machine, or fails as it is told to.
func (f *Fake) changing(ctx context.Context, line string, change func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.change(ctx, line); err != nil {
		return err
	}
	return change()
}

// linksDoor is the door to the fake's links.
type linksDoor struct{ fake *Fake }

func (d linksDoor) List(ctx context.Context) ([]host.Link, error) {
	return locked(ctx, d.fake, "links", func() []host.Link {
		return slices.SortedFunc(slices.Values(d.fake.left.Links), func(a, b host.Link) int { return cmp.Compare(a.Name, b.Name) })
	})
}

func (d linksDoor) Delete(ctx context.Context, name string) error {
	return d.fake.changing(ctx, "delete link "+name, func() error {
		f := d.fake
		remove(&f.left.Links, func(l host.Link) bool { return l.Name == name })
		remove(&f.addresses, func(a host.Address) bool { return a.Link == name })
		remove(&f.left.Hops, func(h host.Hop) bool { return h.Link == name })
		remove(&f.routes, func(r host.Route) bool { return r.Link == name })
		for i := range f.left.Links {
			if f.left.Links[i].Master == name {
				f.left.Links[i].Master = ""
			}
		}
		return nil
	})
}

func (d linksDoor) DeleteAddress(ctx context.Context, link string, prefix netip.Prefix) error {
	return d.fake.changing(ctx, fmt.Sprintf("delete address %s dev %s", prefix, link), func() error {
		remove(&d.fake.addresses, func(a host.Address) bool { return a.Link == link && a.Prefix == prefix })
		return nil
	})
}

// Hops has those that were made through the door of the network, too.
func (d linksDoor) Hops(ctx context.Context) ([]host.Hop, error) {
	return locked(ctx, d.fake, "hops", func() []host.Hop {
		out := slices.Clone(d.fake.left.Hops)
		for _, route := range d.fake.routes {
			one := host.Hop{Table: 254, Destination: route.Destination, Link: route.Link, Source: route.Source, Protocol: "static"}
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
		slices.SortStableFunc(out, host.CompareHops)
		return out
	})
}

func (d linksDoor) DeleteHop(ctx context.Context, hop host.Hop) error {
	return d.fake.changing(ctx, "delete route "+hop.String(), func() error {
		remove(&d.fake.left.Hops, func(h host.Hop) bool { return h == hop })
		remove(&d.fake.routes, func(r host.Route) bool {
			return r == host.Route{Destination: hop.Destination, Link: hop.Link, Source: hop.Source}
		})
		return nil
	})
}

func (d linksDoor) Rules(ctx context.Context) ([]string, error) {
	return locked(ctx, d.fake, "rules", func() []string { return slices.Clone(d.fake.left.Rules) })
}

// tablesDoor is the door to the fake's nftables.
type tablesDoor struct{ fake *Fake }

func (d tablesDoor) List(ctx context.Context) ([]host.Table, error) {
	return locked(ctx, d.fake, "tables", func() []host.Table {
		return slices.SortedFunc(slices.Values(d.fake.left.Tables), host.CompareTables)
	})
}

func (d tablesDoor) Delete(ctx context.Context, family, name string) error {
	return d.fake.changing(ctx, "delete table "+family+" "+name, func() error {
		remove(&d.fake.left.Tables, func(t host.Table) bool { return t.Family == family && t.Name == name })
		return nil
	})
}

// mountsDoor is the door to the fake's mounts. What is in a mounted file system is not in the fake's tree.
type mountsDoor struct{ fake *Fake }

func (d mountsDoor) List(ctx context.Context) ([]host.Mount, error) {
	return locked(ctx, d.fake, "mounts", func() []host.Mount { return slices.Clone(d.fake.left.Mounts) })
}

func (d mountsDoor) Unmount(ctx context.Context, name string) error {
	return d.fake.changing(ctx, "unmount "+name, func() error {
		for i, mount := range slices.Backward(d.fake.left.Mounts) {
			if mount.Path == name {
				d.fake.left.Mounts = slices.Delete(slices.Clone(d.fake.left.Mounts), i, i+1)
				break
			}
		}
		return nil
	})
}

// mountedBelow returns a mount at or below the path, "" when there is none. The caller holds the lock.
func (f *Fake) mountedBelow(name string) string {
	for _, mount := range f.left.Mounts {
		if mount.Path == name || strings.HasPrefix(mount.Path, name+"/") {
			return mount.Path
		}
	}
	return ""
}

// kernelDoor is the door to the fake's kernel.
type kernelDoor struct{ fake *Fake }

func (d kernelDoor) Settings(ctx context.Context) (map[string]string, error) {
	return locked(ctx, d.fake, "settings", func() map[string]string { return maps.Clone(d.fake.left.Settings) })
}

func (d kernelDoor) Set(ctx context.Context, setting, value string) error {
	return d.fake.changing(ctx, "set "+setting+" "+value, func() error {
		if _, there := d.fake.left.Settings[setting]; !there {
			return fmt.Errorf("set %s to %q: no such file or directory", setting, value)
		}
		d.fake.setting(setting, value)
		return nil
	})
}

func (d kernelDoor) Modules(ctx context.Context) ([]string, error) {
	return locked(ctx, d.fake, "modules", func() []string { return slices.Sorted(slices.Values(d.fake.left.Modules)) })
}

// unitTableDoor is the door to what the fake's systemd has in memory.
type unitTableDoor struct{ fake *Fake }

func (d unitTableDoor) List(ctx context.Context) ([]host.UnitEntry, error) {
	return locked(ctx, d.fake, "units", func() []host.UnitEntry {
		var out []host.UnitEntry
		for _, name := range slices.Sorted(maps.Keys(d.fake.units)) {
			if state := unitDoor(d).state(name); state.Active != "inactive" {
				out = append(out, host.UnitEntry{Name: name, Load: state.Load, Active: state.Active, Sub: state.Sub})
			}
		}
		return out
	})
}

func (d unitTableDoor) Forget(ctx context.Context, name string) error {
	return d.fake.changing(ctx, "forget "+name, func() error {
		if found := d.fake.units[name]; found != nil && found.active == "failed" {
			found.active, found.sub = "inactive", "dead"
		}
		return nil
	})
}

// treesDoor is the door to the fake's files as a whole.
type treesDoor struct{ fake *Fake }

func (d treesDoor) Walk(ctx context.Context, root string, depth, most int) ([]host.FileInfo, error) {
	out, err := locked(ctx, d.fake, "walk "+root, func() []host.FileInfo { return d.fake.walk(path.Clean(root), depth) })
	if err == nil && len(out) > most {
		return nil, fmt.Errorf("look through %s: there are more than %d files", root, most)
	}
	return out, err
}

func (f *Fake) walk(root string, depth int) []host.FileInfo {
	found := f.tree[root]
	if found == nil {
		return nil
	}
	out := []host.FileInfo{{Path: root, Mode: found.mode, Owner: found.owner, Size: int64(len(found.content)), Target: found.target}}
	if !found.mode.IsDir() || depth == 0 {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(f.tree)) {
		if name != "/" && path.Dir(name) == root {
			out = append(out, f.walk(name, depth-1)...)
		}
	}
	return out
}
