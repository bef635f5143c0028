package cleanup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// unmount takes away what is mounted below our directories, the latest first. A disk of the machine stays: one that was mounted there
// before, and one that was mounted at a directory of ours since, which somebody does whose disk is full.
func (c *Cleanup) unmount(ctx context.Context) error {
	list, err := c.ownMounts(ctx)
	errs := []error{err}
	for _, mount := range slices.Backward(list) {
		errs = append(errs, c.Mounts.Unmount(ctx, mount.Path))
	}
	left, err := c.ownMounts(ctx)
	errs = append(errs, err)
	for _, mount := range left {
		errs = append(errs, fmt.Errorf("%s is still mounted", mount.Path))
	}
	return errors.Join(errs...)
}

func (c *Cleanup) ownMounts(ctx context.Context) ([]host.Mount, error) {
	dirs := slices.Concat(data(), []string{layout.DirState, layout.DirAgent})
	if c.found.foreign {
		dirs = append(dirs, runtimeMounts()...)
	} else {
		dirs = append(dirs, runtimeData()...)
	}
	if c.options.EtcdData == Remove {
		dirs = append(dirs, layout.DirEtcd)
	}
	dirs, dirsErr := c.resolved(ctx, dirs)
	ownNamespace, namespacesErr := c.ownNamespaces(ctx)
	list, err := c.Mounts.List(ctx)
	return slices.DeleteFunc(list, func(mount host.Mount) bool {
		ofPod := path.Dir(mount.Path) == record.DirNamespaces && ownNamespace(path.Base(mount.Path))
		inside := withinAny(mount.Path, dirs) && !slices.Contains(dirs, mount.Path)
		return !inside && !ofPod || c.found.before.Had(record.Mount, mount.Path)
	}), errors.Join(err, dirsErr, namespacesErr)
}

// resolved returns where the directories are, which may be links to a larger disk. Those that are missing have no mounts.
func (c *Cleanup) resolved(ctx context.Context, dirs []string) (out []string, err error) {
	for _, dir := range dirs {
		real, problem := c.Files.Resolve(ctx, dir)
		switch {
		case problem == nil:
			out = append(out, real)
		case !errors.Is(problem, fs.ErrNotExist):
			err = errors.Join(err, problem)
		}
	}
	return out, err
}
