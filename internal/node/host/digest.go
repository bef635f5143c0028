package host

import (
	"context"
	"io/fs"
	"sync"
	"syscall"
	"time"
)

const (
	// digestFrom is the size in bytes from which a digest is remembered: to read a smaller file costs no more than to look it up.
	digestFrom = 64 << 10
	// digestAge is how long ago a file must have changed before its digest is remembered: a second change within the grain of the
	// file system's clock would not show.
	digestAge = 2 * time.Second
)

// digests remembers what big files contain, as long as their file systems say that nothing changed: so that to look at a node's
// programs again costs no reading. It is safe for concurrent use.
type digests struct {
	mu     sync.Mutex
	byPath map[string]digested
}

// digested is a digest and what the file was when it was made.
type digested struct {
	stamp  stamp
	sha256 string
}

// stamp changes whenever the content does: no program can set a file's change time.
type stamp struct {
	device, inode              uint64
	size                       int64
	modifiedSec, modifiedNanos int64
	changedSec, changedNanos   int64
}

func (d *digests) of(ctx context.Context, path string, found fs.FileInfo) (string, error) {
	sys, ok := found.Sys().(*syscall.Stat_t)
	if !ok || d == nil || found.Size() < digestFrom {
		return digestFile(ctx, path)
	}
	now := stamp{
		device: uint64(sys.Dev), inode: sys.Ino, size: sys.Size, //nolint:unconvert // another type on other architectures
		modifiedSec: int64(sys.Mtim.Sec), modifiedNanos: int64(sys.Mtim.Nsec), //nolint:unconvert // as above
		changedSec: int64(sys.Ctim.Sec), changedNanos: int64(sys.Ctim.Nsec), //nolint:unconvert // as above
	}
	d.mu.Lock()
	known, ok := d.byPath[path]
	d.mu.Unlock()
	if ok && known.stamp == now {
		return known.sha256, nil
	}
	settled := time.Since(time.Unix(now.changedSec, now.changedNanos)) > digestAge
	sum, err := digestFile(ctx, path)
	if err == nil && settled {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.byPath == nil {
			d.byPath = map[string]digested{}
		}
		d.byPath[path] = digested{now, sum}
	}
	return sum, err
}
