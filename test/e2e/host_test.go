// Package e2e turns stories into runs of the product on machines with systemd, with nothing mocked.
// Used by nobody: run it with go test ./test/e2e.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/test/machine"
)

// containerdUnit is the least that containerd needs; what a node's containerd looks like is the product's matter.
const containerdUnit = `[Service]
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Environment=PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
`

// TestHost runs the conformance suite of internal/node/host, that its fake passes in unit tests, on a real machine.
// A directory with containerd, containerd-shim-runc-v2 and runc in GARDENADM_E2E_PROGRAMS adds the part about images
// (go run ./hack/build program containerd runc -o DIR makes one).
func TestHost(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	if os.Geteuid() != 0 {
		t.Skip("machines need root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)

	binary := filepath.Join(t.TempDir(), "host.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./internal/node/host")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile the suite: %v\n%s", err, output)
	}

	on := bootHost(ctx, t)
	must(t, on.Copy(ctx, binary, "/root/host.test"))
	real := "machine"
	if programs := os.Getenv("GARDENADM_E2E_PROGRAMS"); programs != "" {
		must(t, on.Copy(ctx, programs, "/usr/local/bin"))
		must(t, on.WriteFile(ctx, "/etc/systemd/system/containerd.service", []byte(containerdUnit), 0o644))
		if _, err := on.Exec(ctx, "systemctl", "start", "containerd.service"); err != nil {
			t.Fatal(err)
		}
		real = "images"
	}
	var output bytes.Buffer
	err := on.Stream(ctx, machine.IO{Out: &output, Err: &output}, "env", "GARDENADM_REAL_MACHINE="+real, "/root/host.test", "-test.v")
	t.Logf("on the machine:\n%s", output.String())
	must(t, err)
}

// bootHost boots a machine that is gone when the test is over; its logs stay if the test failed.
func bootHost(ctx context.Context, t *testing.T) *machine.Machine {
	t.Helper()
	engine, err := machine.New(ctx, t.Output())
	must(t, err)
	run := machine.Run{Prefix: fmt.Sprintf("host%d", os.Getpid()), PID: os.Getpid()}
	t.Cleanup(func() {
		if err := engine.Cleanup(context.Background(), run.Prefix); err != nil {
			t.Error(err)
		}
	})
	network, err := engine.CreateNetwork(ctx, run, "net", netip.Prefix{})
	must(t, err)
	booted, err := network.Boot(ctx, "host")
	must(t, err)
	t.Cleanup(func() {
		dir := filepath.Join(t.ArtifactDir(), booted.Name())
		if err := booted.Logs(context.Background(), dir); err != nil {
			t.Error(err)
		}
		t.Logf("logs of %s: %s", booted.Name(), dir)
	})
	return booted
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
