package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process on this machine holds the lock.
var ErrLocked = errors.New("another process holds the lock")

// Locks keeps processes on one machine out of each other's way. A lock ends with its process, also with a killed one.
type Locks interface {
	// Lock takes the lock at path or returns ErrLocked, wrapped with the holder's process ID, without waiting.
	// The file is made root:root 0600 in a directory that exists, and stays when the lock is released.
	Lock(ctx context.Context, path string) (unlock func() error, err error)
}

type locks struct{}

// Lock uses flock, which the kernel gives up with the process.
func (locks) Lock(_ context.Context, path string) (func() error, error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w (process %s)", ErrLocked, holder(file))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	// Who holds it is for people: nothing is decided by it.
	if err := errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), file.Close())
	}
	return file.Close, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

func holder(file *os.File) string {
	content := make([]byte, 32)
	n, _ := file.ReadAt(content, 0)
	if pid := strings.TrimSpace(string(content[:n])); pid != "" {
		return pid
	}
	return "unknown"
}
