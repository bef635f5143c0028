package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is something that is mounted in this process's view of the machine.
type Mount struct {
	Path   string
	Type   string // of the file system: overlay, tmpfs, nsfs …
	Source string // a device or whatever the file system calls so
}

// Mounts is the table of mounts.
type Mounts interface {
	// List returns all mounts, what was mounted later behind what was there before.
	List(ctx context.Context) ([]Mount, error)
	// Unmount takes away what was mounted at path last; when nothing is mounted there, that is fine. What is in use is only detached:
	// it is no longer to be seen, and ends when its last user does.
	Unmount(ctx context.Context, path string) error
}

// mounts is the real table.
type mounts struct{}

func (mounts) List(ctx context.Context) ([]Mount, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	// Of the thread, which in a namespace of its own sees other mounts than the process.
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", cause(err))
	}
	return mountTable(table), nil
}

// mountTable reads a mountinfo file (proc_pid_mountinfo(5)); lines that it does not understand are passed over.
func mountTable(table []byte) []Mount {
	const pointField, afterOptional = 4, 6
	var out []Mount
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Buffer(nil, len(table)+1) // overlayfs options make long lines
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		for at := afterOptional; at+2 < len(fields); at++ {
			if fields[at] == "-" { // ends the optional fields
				out = append(out, Mount{Path: unescapeMount(fields[pointField]), Type: fields[at+1], Source: unescapeMount(fields[at+2])})
				break
			}
		}
	}
	return out
}

// unmountWait is for a file system whose server may be gone: without an answer it is detached.
const unmountWait = 5 * time.Second

func (mounts) Unmount(ctx context.Context, path string) error {
	if err := ready(ctx, path); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	err := unmount(ctx, path)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // nothing is mounted there
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

func unmount(ctx context.Context, path string) error {
	// The system call is made on this thread, whose namespace counts; a dead server is told by another one, on a time limit.
	if !answers(ctx, path) {
		return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	return err
}

// answers says whether the file system at path answers in time, with whatever it says.
func answers(ctx context.Context, path string) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var stat unix.Statfs_t
		_ = unix.Statfs(path, &stat)
	}()
	select {
	case <-done:
		return true
	case <-time.After(unmountWait):
	case <-ctx.Done():
	}
	return false
}
