package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// TempPrefix begins the name of every file that is not yet in its place. A process that is killed may leave one behind;
// it begins with a dot and has no extension, so that no program that reads its directory takes it for its own.
const TempPrefix = ".gardenadm-"

// files is the real file system.
type files struct{ digests *digests }

func (files) Read(ctx context.Context, path string) ([]byte, error) {
	if err := ready(ctx, path); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	return data, nil
}

func (files) Write(ctx context.Context, path string, content io.Reader, mode fs.FileMode) error {
	if err := write(ctx, path, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	return nil
}

func write(ctx context.Context, path string, content io.Reader, mode fs.FileMode) error {
	if err := ready(ctx, path); err != nil {
		return err
	}
	if err := makeParents(path); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), TempPrefix)
	if err != nil {
		return err
	}
	err = fill(ctx, temp, content, mode)
	if err == nil {
		// A rename also works over a program that runs, which cannot be written to.
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// fill writes the content to disk and closes the file in any case.
func fill(ctx context.Context, file *os.File, content io.Reader, mode fs.FileMode) error {
	_, err := io.Copy(file, &contextReader{ctx, content})
	if err == nil {
		// Told explicitly, because a directory may hand down its group; before the mode, because it clears setuid.
		err = file.Chown(0, 0)
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = ctx.Err()
	}
	return errors.Join(err, file.Close())
}

func (files) Symlink(ctx context.Context, target, path string) error {
	if err := symlink(ctx, target, path); err != nil {
		return fmt.Errorf("link %s to %s: %w", path, target, cause(err))
	}
	return nil
}

func symlink(ctx context.Context, target, path string) error {
	if err := ready(ctx, path); err != nil {
		return err
	}
	if err := makeParents(path); err != nil {
		return err
	}
	// There is no call that replaces a link, so a second one is renamed over it. CreateTemp finds the free name.
	temp, err := os.CreateTemp(filepath.Dir(path), TempPrefix)
	if err != nil {
		return err
	}
	if err := errors.Join(temp.Close(), os.Remove(temp.Name())); err != nil {
		return err
	}
	if err := os.Symlink(target, temp.Name()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func (files) MakeDir(ctx context.Context, path string, owner Owner, mode fs.FileMode) error {
	err := ready(ctx, path)
	if err == nil {
		err = makeParents(path)
	}
	if err == nil {
		err = makeDir(path, owner, mode)
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", path, cause(err))
	}
	return nil
}

func makeDir(path string, owner Owner, mode fs.FileMode) error {
	// Root's is made as it shall be, and not corrected after: who is killed in between would leave a parent directory that nobody looks at
	// again. Another owner's is closed to others until it is his, and its maker corrects it each time.
	first := mode.Perm()
	if owner != (Owner{}) {
		first = 0o700
	}
	err := os.Mkdir(path, first)
	switch {
	case errors.Is(err, fs.ErrExist):
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return syscall.ENOTDIR
		}
	case err != nil:
		return err
	}
	if err := os.Chown(path, owner.UID, owner.GID); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return errors.Join(syncDir(path), syncDir(filepath.Dir(path)))
}

// makeParents makes the missing directories above path, root:root 0755.
func makeParents(path string) error {
	dir := filepath.Dir(path)
	_, err := os.Stat(dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeParents(dir); err != nil {
		return err
	}
	return makeDir(dir, Owner{}, 0o755)
}

func (files) Remove(ctx context.Context, path string) error {
	if err := remove(ctx, path); err != nil {
		return fmt.Errorf("remove %s: %w", path, cause(err))
	}
	return nil
}

func remove(ctx context.Context, path string) error {
	if err := ready(ctx, path); err != nil {
		return err
	}
	path = filepath.Clean(path)
	if path == "/" {
		return errors.New("the root directory is not removed")
	}
	// The kernel lists mounts by paths without links: a directory above may be one.
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	mounts, err := mountsBelow(filepath.Join(parent, filepath.Base(path)))
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is mounted there; unmount it first", mounts[0])
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (f files) Stat(ctx context.Context, path string) (FileInfo, error) {
	info, err := f.stat(ctx, path)
	if err != nil {
		return FileInfo{}, fmt.Errorf("look at %s: %w", path, cause(err))
	}
	return info, nil
}

func (f files) stat(ctx context.Context, path string) (FileInfo, error) {
	if err := ready(ctx, path); err != nil {
		return FileInfo{}, err
	}
	found, err := os.Lstat(path)
	if err != nil {
		return FileInfo{}, err
	}
	info := FileInfo{Path: path, Mode: found.Mode(), Size: found.Size()}
	if sys, ok := found.Sys().(*syscall.Stat_t); ok {
		info.Owner = Owner{UID: int(sys.Uid), GID: int(sys.Gid)}
	}
	switch {
	case found.Mode().IsRegular():
		info.SHA256, err = f.digests.of(ctx, path, found)
	case found.Mode()&fs.ModeSymlink != 0:
		info.Target, err = os.Readlink(path)
	}
	return info, err
}

func digestFile(ctx context.Context, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, &contextReader{ctx, file}); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func (files) Resolve(ctx context.Context, path string) (string, error) {
	err := ready(ctx, path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", path, cause(err))
	}
	return path, nil
}

func (files) List(ctx context.Context, path string) ([]string, error) {
	if err := ready(ctx, path); err != nil {
		return nil, fmt.Errorf("list %s: %w", path, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", path, cause(err))
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

// ready is nil when work on path may begin.
func ready(ctx context.Context, path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("the path is not absolute")
	}
	return ctx.Err()
}

// cause takes the operation and path off an error of package os, because they are told already.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		return link.Err
	}
	return err
}

// syncDir makes a change of names in dir outlive a power cut.
func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// contextReader ends reading when ctx ends.
type contextReader struct {
	ctx    context.Context
	reader io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.reader.Read(p)
}
