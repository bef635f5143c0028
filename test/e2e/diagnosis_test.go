package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/test/machine"
)

// TestDiagnosis breaks a node in ways that take its API away: status names cause, evidence, fix and code, logs shows what the
// part said, and what is mended is healthy again.
func TestDiagnosis(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.bootBare("machine-0")
	// A binary of its own: what is told here must not depend on when somebody ran make build.
	binary := filepath.Join(t.TempDir(), "gardenadm")
	build := exec.CommandContext(s.ctx, "go", "build", "-o", binary, "./cmd/gardenadm")
	build.Dir = s.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gardenadm: %v\n%s", err, output)
	}
	check(t, node.Copy(s.ctx, binary, "/usr/local/bin/gardenadm"))
	check(t, node.Copy(s.ctx, s.product(".local/bundle"), "/root/bundle"))
	if _, said := node.status(); !strings.Contains(said, "not a node") {
		t.Errorf("on a bare machine status says %q", said)
	}
	node.run("gardenadm", "init", "--bundle", "/root/bundle")
	s.eventually("healthy after init", time.Minute, node.healthy)

	// The node agent would mend in seconds what is broken here.
	node.run("systemctl", "kill", "--signal=STOP", "gardener-node-agent.service")
	node.run("systemctl", "stop", "kubelet.service")
	node.says("GA-3003", "kubelet.service is stopped", "systemctl start kubelet.service")
	node.run("systemctl", "stop", "containerd.service")
	node.says("GA-3004", "containerd.service is stopped", "systemctl start containerd.service")
	if logs := node.run("gardenadm", "logs", "kubelet", "--tail", "3"); !strings.Contains(logs, "Stopped kubelet") {
		t.Errorf("with all stopped, the kubelet's log is %q", logs)
	}
	node.run("systemctl", "start", "containerd.service", "kubelet.service")
	s.eventually("healthy after the units were started", 2*time.Minute, node.healthy)

	manifest := "/etc/kubernetes/manifests/kube-apiserver.yaml"
	node.run("cp", manifest, "/root/kube-apiserver.yaml")
	node.run("sed", "-i", "s/- --allow-privileged=true/- --no-such-flag=true/", manifest)
	s.eventually("the bad flag is named", 3*time.Minute, func() error {
		return node.trySays("GA-3021", "--no-such-flag", "/etc/kubernetes/manifests")
	})
	if logs := node.run("gardenadm", "logs", "kube-apiserver"); !strings.Contains(logs, "unknown flag: --no-such-flag") {
		t.Errorf("with the API down, logs kube-apiserver shows\n%s", logs)
	}
	if _, err := node.Exec(s.ctx, "gardenadm", "logs", "nothing"); codeOf(err) != 2 {
		t.Errorf("logs of an unknown component: %v", err)
	}
	node.run("cp", "/root/kube-apiserver.yaml", manifest)
	s.eventually("healthy after the manifest was restored", 3*time.Minute, node.healthy)
	node.run("systemctl", "kill", "--signal=CONT", "gardener-node-agent.service")
}

// status returns the exit code and all that was said.
func (h *host) status() (int, string) {
	out, err := h.Exec(h.story.ctx, "gardenadm", "status")
	return codeOf(err), out.Stdout + out.Stderr
}

func codeOf(err error) int {
	if failed, ok := errors.AsType[*machine.CommandError](err); ok {
		return failed.Code
	}
	return 0
}

func (h *host) healthy() error {
	if code, said := h.status(); code != 0 {
		return fmt.Errorf("exit code %d:\n%s", code, said)
	}
	return nil
}

func (h *host) says(code string, words ...string) {
	h.story.Helper()
	check(h.story, h.trySays(code, words...))
}

// trySays is nil when status ends with 1 and its last five lines have the code and all words.
func (h *host) trySays(code string, words ...string) error {
	exit, said := h.status()
	lines := strings.Split(strings.TrimSpace(said), "\n")
	last := strings.Join(lines[max(0, len(lines)-5):], "\n")
	for _, word := range append(words, "explain "+code) {
		if exit != 1 || !strings.Contains(last, word) {
			return fmt.Errorf("exit code %d, want 1 and %q in the last five lines of:\n%s", exit, word, said)
		}
	}
	return nil
}
