package host_test

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

// TestConformanceOfLeftovers takes things away from namespaces of its own; what has none needs a machine that is thrown away.
func TestConformanceOfLeftovers(t *testing.T) {
	needsRoot(t)
	hosttest.Conformance(t, isolatedHost, t.TempDir(), hosttest.Links, hosttest.Tables, hosttest.Mounts)
	parts := []hosttest.Part{hosttest.Processes, hosttest.Kernel, hosttest.Trees}
	if os.Getenv(realMachine) != "" {
		parts = append(parts, hosttest.UnitTable)
	}
	hosttest.Conformance(t, func(*testing.T) *host.Host { return host.New() }, t.TempDir(), parts...)
}

// isolatedHost puts the test's thread into namespaces of its own; it ends with the test, and with it all that was made there.
// Programs that the thread starts are in them, too.
func isolatedHost(t *testing.T) *host.Host {
	runtime.LockOSThread()
	ok(t, unix.Unshare(unix.CLONE_NEWNET|unix.CLONE_NEWNS))
	ok(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	return host.New()
}
