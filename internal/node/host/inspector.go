package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Inspector finds what a machine has left and what it can do. Nothing that it does outlives the call, but that the kernel may
// load the module of a feature by itself when it is tried.
type Inspector interface {
	// Listeners returns who has one of these ports, over TCP or UDP, in order of port.
	Listeners(ctx context.Context, ports ...int) ([]Listener, error)
	// Space is what is left where path is, or where it would be made.
	Space(ctx context.Context, path string) (Space, error)
	// SyncTimes measures appends of 8 KiB, each followed by fdatasync, where path is or would be made: 1000 of them, or as many
	// as fit into the time, but at least one. Neither file nor directory entry is left behind, also by a killed process.
	SyncTimes(ctx context.Context, path string, within time.Duration) ([]time.Duration, error)
	// Try uses a feature of the kernel in namespaces of its own; FeatureOverlay where path is or would be made, in a directory
	// that the next try there removes when the process is killed.
	Try(ctx context.Context, feature Feature, path string) error
}

// Listener is a socket that has a port.
type Listener struct {
	Network string // tcp or udp
	Address netip.AddrPort
	// PID and Program are its process; 0 and "" when the kernel itself has the port, or the process is not to be seen.
	PID     int
	Program string // the first 15 characters of its name
}

// Space is what a file system has left for unprivileged writers.
type Space struct {
	Path              string // the nearest directory that exists
	Device            uint64 // two paths with the same one share their space
	Free, Total       uint64 // bytes
	Inodes, InodesAll uint64 // free, and all; 0 and 0 where inodes are made as needed
	ReadOnly          bool
}

// Feature is a part of the kernel that a node needs.
type Feature string

// Features that can be tried.
const (
	FeatureOverlay         Feature = "overlayfs"
	FeatureNFTables        Feature = "nf_tables"
	FeatureBridge          Feature = "bridge"
	FeatureVeth            Feature = "veth"
	FeatureVXLAN           Feature = "vxlan"
	FeatureBridgeNetfilter Feature = "br_netfilter"
)

// inspector looks at the real machine.
type inspector struct{}

func (inspector) Space(ctx context.Context, path string) (Space, error) {
	if err := ready(ctx, path); err != nil {
		return Space{}, fmt.Errorf("look at the space of %s: %w", path, err)
	}
	dir, err := nearest(path)
	if err != nil {
		return Space{}, fmt.Errorf("look at the space of %s: %w", path, err)
	}
	var system unix.Statfs_t
	var info unix.Stat_t
	if err := errors.Join(unix.Statfs(dir, &system), unix.Stat(dir, &info)); err != nil {
		return Space{}, fmt.Errorf("look at the space of %s: %w", dir, err)
	}
	block := uint64(system.Frsize)
	return Space{
		Path: dir, Device: uint64(info.Dev),
		Free: system.Bavail * block, Total: system.Blocks * block,
		Inodes: system.Ffree, InodesAll: system.Files,
		ReadOnly: system.Flags&unix.ST_RDONLY != 0,
	}, nil
}

// nearest returns the directory at path, or the nearest one above that exists.
func nearest(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return filepath.Clean(path), nil
	case err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		if path == "/" {
			return "", fs.ErrNotExist
		}
		return nearest(filepath.Dir(path))
	}
	return "", err
}

// syncCount is enough for a 99th percentile.
const syncCount = 1000

func (inspector) SyncTimes(ctx context.Context, path string, within time.Duration) ([]time.Duration, error) {
	if err := ready(ctx, path); err != nil {
		return nil, fmt.Errorf("measure fdatasync in %s: %w", path, err)
	}
	dir, err := nearest(path)
	if err != nil {
		return nil, fmt.Errorf("measure fdatasync in %s: %w", path, err)
	}
	times, err := syncTimes(ctx, dir, within)
	if err != nil {
		return nil, fmt.Errorf("measure fdatasync in %s: %w", dir, cause(err))
	}
	return times, nil
}

func syncTimes(ctx context.Context, dir string, within time.Duration) ([]time.Duration, error) {
	file, err := nameless(dir)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // its content is of no use
	block := make([]byte, 8<<10)
	var times []time.Duration
	for end := time.Now().Add(within); len(times) < syncCount && (len(times) == 0 || time.Now().Before(end)); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := file.Write(block); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// nameless opens a new file that is in no directory; where the file system cannot (overlayfs before 6.5, NFS),
// one whose name is taken away at once.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, err
	}
	file, err := os.CreateTemp(dir, TempPrefix)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
