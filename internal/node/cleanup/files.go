package cleanup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// remove removes a file of ours, what a killed process left beside it, and directories that have nothing in them any more.
// One that was there before and is as it was is not ours.
func (c *Cleanup) remove(ctx context.Context, file string) error {
	info, err := c.Files.Stat(ctx, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.prune(ctx, path.Dir(file))
	case err != nil:
		return err
	case info.Mode.IsDir():
		return nil // nothing of ours is called so
	}
	if then, had := c.found.before.Value(record.File, file); had && then == record.Describe(info) {
		return nil
	}
	if err := c.Files.Remove(ctx, file); err != nil {
		return err
	}
	c.removed[file] = true
	return c.sweep(ctx, path.Dir(file))
}

// sweep removes files that never came to their place, and the directory if it is empty then.
func (c *Cleanup) sweep(ctx context.Context, dir string) error {
	names, err := c.names(ctx, dir)
	errs := []error{err}
	for _, name := range names {
		if strings.HasPrefix(name, host.TempPrefix) {
			errs = append(errs, c.Files.Remove(ctx, path.Join(dir, name)))
		}
	}
	return errors.Join(append(errs, c.prune(ctx, dir))...)
}

// prune removes an empty directory that is ours, and those above it.
func (c *Cleanup) prune(ctx context.Context, dir string) error {
	for c.mayGo(dir) && !c.mountPoint(ctx, dir) { // `ip netns` mounts its directory, and leaves it so
		names, err := c.Files.List(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			dir = path.Dir(dir)
			continue
		}
		if err != nil || len(names) > 0 {
			return err
		}
		if err := c.Files.Remove(ctx, dir); err != nil {
			return err
		}
		dir = path.Dir(dir)
	}
	return nil
}

// mayGo says that a directory was not there before gardenadm. Where nobody knows, those that only gardenadm makes may go.
func (c *Cleanup) mayGo(dir string) bool {
	switch c.found.before.Tell(dir) {
	case record.There:
		return false
	case record.Absent:
		return path.Dir(dir) != "/" || dir == path.Dir(layout.DirBin)
	}
	dropIns := path.Dir(dir) == layout.DirUnits && path.Ext(dir) == ".d"
	return dropIns || withinAny(dir, slices.Concat(data(), []string{layout.DirBin, layout.DirCNIBin, layout.DirState, layout.DirAgent, layout.DirContainerdCA,
		layout.DirContainerdDropIns, layout.DirRegistryHosts, dirCNIData + "/networks/flannel"}))
}

// wipe removes a directory of ours with all in it. Of one that was there before, and of one that somebody has moved to another disk
// since, it removes what was not there.
func (c *Cleanup) wipe(ctx context.Context, dir string) error {
	info, err := c.Files.Stat(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if link := info.Mode&fs.ModeSymlink != 0; c.found.before.Tell(dir) != record.There && !link && !c.mountPoint(ctx, dir) {
		if err := c.Files.Remove(ctx, dir); err != nil {
			return err
		}
		return c.prune(ctx, path.Dir(dir))
	}
	names, err := c.names(ctx, dir)
	errs := []error{err}
	for _, name := range names {
		inside := path.Join(dir, name)
		switch {
		case name == "lost+found":
		case c.found.before.Tell(inside) != record.There:
			errs = append(errs, c.Files.Remove(ctx, inside))
		case dir == layout.DirKubelet:
			errs = append(errs, c.empty(ctx, inside))
		}
	}
	return errors.Join(errs...)
}

// empty empties a directory that was there before, below the kubelet's: preflight found no file in it then, and now the kubelet's keys and
// volumes may be.
func (c *Cleanup) empty(ctx context.Context, dir string) error {
	info, err := c.Files.Stat(ctx, dir)
	if err != nil || !info.Mode.IsDir() {
		return err
	}
	names, err := c.names(ctx, dir)
	errs := []error{err}
	for _, name := range names {
		if name != "lost+found" {
			errs = append(errs, c.Files.Remove(ctx, path.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// mountPoint says that a disk of the machine is mounted there, which "unmount volumes" left. Remove tells what cannot be asked.
func (c *Cleanup) mountPoint(ctx context.Context, dir string) bool {
	list, _ := c.Mounts.List(ctx)
	return slices.ContainsFunc(list, func(mount host.Mount) bool { return mount.Path == dir })
}

// removeFiles removes the files of the node's configuration, data, and what init and join wrote beside it.
func (c *Cleanup) removeFiles(ctx context.Context) error {
	errs := []error{c.found.problem}
	files := c.found.owned.Files
	if len(files) == 0 {
		files = usualFiles()
	}
	for _, file := range files {
		errs = append(errs, c.remove(ctx, file))
	}
	for _, dir := range data() {
		errs = append(errs, c.wipe(ctx, dir))
	}
	if !c.found.foreign {
		for _, dir := range runtimeData() {
			errs = append(errs, c.wipe(ctx, dir))
		}
	}
	errs = append(errs, c.removeCNI(ctx), c.remove(ctx, layout.SocketProxy), c.emptyState(ctx), c.restoreProfile(ctx))
	return errors.Join(errs...)
}

// removeCNI leaves the files and the state of other networks.
func (c *Cleanup) removeCNI(ctx context.Context) error {
	errs := []error{c.remove(ctx, fileCNI), c.wipe(ctx, dirCNIData+"/networks/flannel")}
	for _, dir := range []string{"results", "cache"} {
		dir = path.Join(dirCNIData, dir)
		names, err := c.names(ctx, dir)
		errs = append(errs, err)
		for _, name := range names {
			if record.OfPodNetwork(name) {
				errs = append(errs, c.remove(ctx, path.Join(dir, name)))
			}
		}
	}
	return errors.Join(append(errs, c.prune(ctx, dirCNIData+"/networks"), c.prune(ctx, dirCNIData+"/results"), c.prune(ctx, layout.DirCNIBin))...)
}

// emptyState leaves the files that say that this machine was a node, what it was before, and what is still to be done.
func (c *Cleanup) emptyState(ctx context.Context) error {
	names, err := c.names(ctx, layout.DirState)
	errs := []error{err}
	for _, name := range names {
		file := path.Join(layout.DirState, name)
		if c.found.before.Tell(file) == record.There { // the user's: manifests, a bundle
			continue
		}
		if !slices.Contains([]string{record.FileKept, layout.FileShootUID, layout.FileLeft, fileMemory}, file) {
			errs = append(errs, c.Files.Remove(ctx, file))
		}
	}
	return errors.Join(append(errs, c.openState(ctx))...)
}

// openState gives the directory back its mode if it was there before, now that nothing secret is in it.
func (c *Cleanup) openState(ctx context.Context) error {
	then, _ := c.found.before.Value(record.File, layout.DirState)
	var owner host.Owner
	var mode fs.FileMode
	if _, err := fmt.Sscanf(then, "directory %o %d:%d", &mode, &owner.UID, &owner.GID); err != nil || mode > fs.ModePerm {
		return nil // it was not there, or nobody knows
	}
	return c.Files.MakeDir(ctx, layout.DirState, owner, mode)
}

const (
	profile      = "/root/.bashrc"
	profileBegin = "# gardenadm: begin"
	profileEnd   = "# gardenadm: end"
)

// restoreProfile takes our block out of root's profile.
func (c *Cleanup) restoreProfile(ctx context.Context) error {
	info, err := c.Files.Stat(ctx, profile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := c.Files.Read(ctx, profile)
	if err != nil {
		return err
	}
	rest, had := withoutBlock(string(content))
	if !had {
		return nil
	}
	// The block begins a line of its own, for which a line's end may have been added.
	if then, _ := c.found.before.Value(record.File, profile); strings.HasSuffix(then, "sha256:"+digest(strings.TrimSuffix(rest, "\n"))) {
		rest = strings.TrimSuffix(rest, "\n")
	}
	if rest == "" && c.found.before.Tell(profile) == record.Absent {
		return c.Files.Remove(ctx, profile)
	}
	return c.Files.Write(ctx, profile, bytes.NewReader([]byte(rest)), info.Mode.Perm())
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// withoutBlock returns the profile without the last block of ours.
func withoutBlock(text string) (rest string, had bool) {
	begin := strings.LastIndex(text, profileBegin)
	if begin < 0 {
		return text, false
	}
	_, after, ended := strings.Cut(text[begin:], profileEnd)
	if !ended {
		return text, false
	}
	return text[:begin] + strings.TrimPrefix(after, "\n"), true
}

// removeEtcdData removes it when that was asked for.
func (c *Cleanup) removeEtcdData(ctx context.Context) error {
	if c.options.EtcdData != Remove {
		return nil
	}
	return c.wipe(ctx, layout.DirEtcd)
}

// forget takes away what the other steps need, once they are done: the program last of what is ours, the record to where a reboot removes it.
func (c *Cleanup) forget(ctx context.Context) error {
	if len(c.errs) > 0 {
		return errors.New("something is left; what is known of this machine is kept so that it can be removed by another run")
	}
	if err := c.wipe(ctx, layout.DirAgent); err != nil {
		return err
	}
	if !c.found.before.Had(record.File, layout.FileGardenadm) { // the machine's own, or its place was taken by a newer one
		if err := c.remove(ctx, layout.FileGardenadm); err != nil {
			return err
		}
	}
	if err := record.PutAside(ctx, c.Host); err != nil {
		return err
	}
	return c.wipe(ctx, layout.DirState)
}
