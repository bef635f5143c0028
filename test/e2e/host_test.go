package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

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

// TestHost runs the conformance suite of internal/node/host, which its fake passes in unit tests, on a real machine with a real containerd.
func TestHost(t *testing.T) {
	s := newStory(t)
	binary := filepath.Join(t.TempDir(), "host.test")
	build := exec.CommandContext(s.ctx, "go", "test", "-c", "-o", binary, "./internal/node/host")
	build.Dir = s.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile the suite: %v\n%s", err, output)
	}
	programs := filepath.Join(t.TempDir(), "programs")
	s.goRun("./hack/build", "program", "containerd", "runc", "-o", programs)

	bare := s.bootBare("host")
	check(t, bare.Copy(s.ctx, binary, "/root/host.test"))
	check(t, bare.Copy(s.ctx, programs, "/usr/local/bin"))
	check(t, bare.WriteFile(s.ctx, "/etc/systemd/system/containerd.service", []byte(containerdUnit), 0o644))
	bare.run("systemctl", "start", "containerd.service")

	var output bytes.Buffer
	err := bare.Stream(s.ctx, machine.IO{Out: &output, Err: &output}, "env", "GARDENADM_REAL_MACHINE=images", "TMPDIR=/var/tmp", "/root/host.test", "-test.v")
	t.Logf("on the machine:\n%s", output.String())
	check(t, err)
}
