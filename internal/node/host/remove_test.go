package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// The data of a volume stays, also where a directory above it is a link, behind which the kernel lists the mount.
func TestRemoveSparesAVolumeBehindALink(t *testing.T) {
	needsRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	ok(t, err)
	volume := filepath.Join(dir, "disk/pods/volume")
	ok(t, os.MkdirAll(volume, 0o755))
	ok(t, os.Symlink("disk", filepath.Join(dir, "kubelet")))
	if err := unix.Mount("tmpfs", volume, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("this machine lets nobody mount: %v", err)
	}
	t.Cleanup(func() { ok(t, unix.Unmount(volume, 0)) })
	file := filepath.Join(volume, "data")
	ok(t, os.WriteFile(file, nil, 0o600))
	if err := host.New().Files.Remove(t.Context(), filepath.Join(dir, "kubelet/pods")); err == nil {
		t.Error("a directory with a volume in it is removed")
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the volume's data: %v", err)
	}
}
