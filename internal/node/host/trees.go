package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Trees looks at many files at once, without reading what is in them.
type Trees interface {
	// Walk describes what is at root and below it in directory order, without digests: root alone for depth 0, what is in it too
	// for 1, and so on; all of it for a negative one. It follows no links, does not enter other file systems, and passes over what
	// goes away meanwhile. A missing root has nothing. More than most entries are an error.
	Walk(ctx context.Context, root string, depth, most int) ([]FileInfo, error)
}

// trees are the real file system's.
type trees struct{}

func (trees) Walk(ctx context.Context, root string, depth, most int) ([]FileInfo, error) {
	out, err := walk(ctx, filepath.Clean(root), depth, most)
	if err != nil {
		return nil, fmt.Errorf("look through %s: %w", root, cause(err))
	}
	return out, nil
}

func walk(ctx context.Context, root string, depth, most int) ([]FileInfo, error) {
	if err := ready(ctx, root); err != nil {
		return nil, err
	}
	top, err := os.Lstat(root)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := []FileInfo{infoOf(root, top)}
	if !top.IsDir() || depth == 0 {
		return out, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(root, entry.Name())
		below := depth - 1
		if info, err := entry.Info(); err == nil && deviceOf(info) != deviceOf(top) {
			below = 0 // another file system
		}
		more, err := walk(ctx, path, below, most-len(out))
		if err != nil {
			return nil, err
		}
		if out = append(out, more...); len(out) > most {
			return nil, fmt.Errorf("there are more than %d files", most)
		}
	}
	return out, nil
}

func infoOf(path string, found fs.FileInfo) FileInfo {
	info := FileInfo{Path: path, Mode: found.Mode(), Size: found.Size()}
	if system, ok := found.Sys().(*syscall.Stat_t); ok {
		info.Owner = Owner{UID: int(system.Uid), GID: int(system.Gid)}
	}
	if found.Mode()&fs.ModeSymlink != 0 {
		info.Target, _ = os.Readlink(path) // it may be gone by now
	}
	return info
}

func deviceOf(info fs.FileInfo) uint64 {
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(system.Dev)
	}
	return 0
}
