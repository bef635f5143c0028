package hosttest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// entry is a file, directory or symbolic link, as its mode's type says.
type entry struct {
	mode    fs.FileMode
	owner   host.Owner
	content []byte
	target  string
}

// tree is a file system: absolute clean path → entry.
type tree map[string]*entry

func newTree() tree {
	return tree{"/": {mode: fs.ModeDir | 0o755}}
}

// find follows symbolic links of the path's last part.
func (t tree) find(name string) (*entry, error) {
	name, err := t.resolve(name)
	return t[name], err
}

func (t tree) resolve(name string) (string, error) {
	for range 40 {
		name = path.Clean(name)
		found := t[name]
		if found == nil {
			return "", fs.ErrNotExist
		}
		if found.mode&fs.ModeSymlink == 0 {
			return name, nil
		}
		if path.IsAbs(found.target) {
			name = found.target
		} else {
			name = path.Join(path.Dir(name), found.target)
		}
	}
	return "", syscall.ELOOP
}

// makeParents makes the missing directories above name.
func (t tree) makeParents(name string) error {
	dir := path.Dir(path.Clean(name))
	if found, err := t.find(dir); err == nil {
		if !found.mode.IsDir() {
			return syscall.ENOTDIR
		}
		return nil
	}
	if err := t.makeParents(dir); err != nil {
		return err
	}
	t[dir] = &entry{mode: fs.ModeDir | 0o755}
	return nil
}

func (t tree) put(name string, made *entry) error {
	name = path.Clean(name)
	if found := t[name]; found != nil && found.mode.IsDir() {
		return syscall.EISDIR
	}
	if err := t.makeParents(name); err != nil {
		return err
	}
	t[name] = made
	return nil
}

// files is the door to the fake's files.
type files struct{ fake *Fake }

func (d files) Read(ctx context.Context, name string) ([]byte, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "read "+name); err != nil {
		return nil, err
	}
	found, err := d.fake.tree.find(name)
	if err == nil && found.mode.IsDir() {
		err = syscall.EISDIR
	}
	if err = errors.Join(absolute(name), err); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return slices.Clone(found.content), nil
}

func (d files) Write(ctx context.Context, name string, content io.Reader, mode fs.FileMode) error {
	data, err := io.ReadAll(content) // before the lock: the content may come from this machine
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := absolute(name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := d.fake.change(ctx, fmt.Sprintf("write %s %04o %s", name, unixMode(mode), short(sum(data)))); err != nil {
		return err
	}
	if err := d.fake.tree.put(name, &entry{mode: mode, content: data}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (d files) Symlink(ctx context.Context, target, name string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := absolute(name); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := d.fake.change(ctx, "link "+name+" -> "+target); err != nil {
		return err
	}
	if err := d.fake.tree.put(name, &entry{mode: fs.ModeSymlink | 0o777, target: target}); err != nil {
		return fmt.Errorf("link %s to %s: %w", name, target, err)
	}
	return nil
}

func (d files) MakeDir(ctx context.Context, name string, owner host.Owner, mode fs.FileMode) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := absolute(name); err != nil {
		return fmt.Errorf("make directory %s: %w", name, err)
	}
	if err := d.fake.change(ctx, fmt.Sprintf("mkdir %s %d:%d %04o", name, owner.UID, owner.GID, unixMode(mode))); err != nil {
		return err
	}
	if err := d.fake.tree.makeParents(name); err != nil {
		return fmt.Errorf("make directory %s: %w", name, err)
	}
	found, err := d.fake.tree.find(name)
	if err != nil {
		found = &entry{mode: fs.ModeDir}
		d.fake.tree[path.Clean(name)] = found
	}
	if !found.mode.IsDir() {
		return fmt.Errorf("make directory %s: %w", name, syscall.ENOTDIR)
	}
	found.owner, found.mode = owner, fs.ModeDir|mode
	return nil
}

func (d files) Remove(ctx context.Context, name string) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := absolute(name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	clean := path.Clean(name)
	if clean == "/" {
		return fmt.Errorf("remove %s: the root directory is not removed", name)
	}
	if mount := d.fake.mountedBelow(clean); mount != "" {
		return fmt.Errorf("remove %s: %s is mounted there; unmount it first", name, mount)
	}
	if err := d.fake.change(ctx, "remove "+name); err != nil {
		return err
	}
	for other := range d.fake.tree {
		if other == clean || strings.HasPrefix(other, clean+"/") {
			delete(d.fake.tree, other)
		}
	}
	if dirContainerd == clean || strings.HasPrefix(dirContainerd, clean+"/") {
		d.fake.forgetContainers()
	}
	return nil
}

func (d files) Stat(ctx context.Context, name string) (host.FileInfo, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "stat "+name); err != nil {
		return host.FileInfo{}, err
	}
	if err := absolute(name); err != nil {
		return host.FileInfo{}, fmt.Errorf("look at %s: %w", name, err)
	}
	found := d.fake.tree[path.Clean(name)]
	if found == nil {
		return host.FileInfo{}, fmt.Errorf("look at %s: %w", name, fs.ErrNotExist)
	}
	info := host.FileInfo{Path: name, Mode: found.mode, Owner: found.owner, Size: int64(len(found.content)), Target: found.target}
	if found.mode.IsRegular() {
		info.SHA256 = sum(found.content)
	}
	return info, nil
}

func (d files) Resolve(ctx context.Context, name string) (string, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "resolve "+name); err != nil {
		return "", err
	}
	found, err := d.fake.tree.resolve(name)
	if err = errors.Join(absolute(name), err); err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	return found, nil
}

func (d files) List(ctx context.Context, name string) ([]string, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "list "+name); err != nil {
		return nil, err
	}
	found, err := d.fake.tree.find(name)
	if err == nil && !found.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err = errors.Join(absolute(name), err); err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	names := []string{}
	for other := range d.fake.tree {
		if other != "/" && path.Dir(other) == path.Clean(name) {
			names = append(names, path.Base(other))
		}
	}
	slices.Sort(names)
	return names, nil
}

func absolute(name string) error {
	if !path.IsAbs(name) {
		return errors.New("the path is not absolute")
	}
	return nil
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// unixMode is the mode as chmod(1) says it.
func unixMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}
