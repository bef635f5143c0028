// Package e2e turns what a user does into stories that drive the gardenadm binary on machine containers.
// Used by `make test` and `make bench`.
//
// Stories run side by side (t.Parallel), as many as there are processors: they wait more than they compute. Some run alone: those that
// compare a machine with itself, as the kernel is shared and has settings that every init writes, those that set the environment, and
// matrices and benchmarks, whose figures count.
package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gardenadm/gardenadm/test/machine"
)

// story is one test's machines and products.
type story struct {
	testing.TB
	ctx     context.Context
	root    string // of the repository
	network *machine.Network
	logs    string
}

// newStory makes an isolated network for the test; it and all its machines are removed at the end, after their logs were
// collected, whether the test passed or not.
func newStory(t testing.TB) *story {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("machine containers need root")
	}
	ctx := t.Context()
	root, err := filepath.Abs("../..")
	check(t, err)
	engine, err := machine.New(ctx, os.Stderr)
	check(t, err)
	check(t, engine.Sweep(ctx)) // what killed runs left
	run := machine.Run{Prefix: fmt.Sprintf("e2e-%d-%s", os.Getpid(), slug(t.Name())), PID: os.Getpid()}
	s := &story{TB: t, ctx: ctx, root: root, logs: filepath.Join(root, ".local/logs", slug(t.Name()))}
	check(t, os.RemoveAll(s.logs))
	t.Cleanup(func() { s.end(engine, run) })
	s.network, err = engine.CreateNetwork(ctx, run, "net", netip.Prefix{})
	check(t, err)
	return s
}

// end runs after the test's own context is over.
func (s *story) end(engine *machine.Engine, run machine.Run) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	machines, err := engine.Machines(ctx, run)
	if err != nil {
		s.Error(err)
	}
	for _, one := range machines {
		if err := one.Logs(ctx, filepath.Join(s.logs, one.Name())); err != nil {
			s.Logf("collect logs of %s: %v", one.Name(), err)
		}
	}
	if s.Failed() {
		s.Logf("logs of all machines: %s", s.logs)
	}
	if err := engine.Cleanup(ctx, run.Prefix); err != nil {
		s.Error(err)
	}
}

// boot starts a bare machine and lays the program and the bundle's file on it.
func (s *story) boot(name string) *host {
	s.Helper()
	return s.bootWith(name, s.product(".local/bundle.tar.zst"))
}

// bootWith starts a bare machine with the program and another bundle.
func (s *story) bootWith(name, bundle string) *host {
	s.Helper()
	h := s.bootBare(name)
	check(s, h.Copy(s.ctx, s.program(), "/usr/local/bin/gardenadm"))
	check(s, h.Copy(s.ctx, bundle, "/root/bundle"))
	return h
}

// bootJoiners starts bare machines side by side, each with the program and nothing else.
func (s *story) bootJoiners(names ...string) []*host {
	s.Helper()
	machines := make([]*machine.Machine, len(names))
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() (err error) {
			if machines[i], err = s.network.Boot(s.ctx, name); err == nil {
				err = machines[i].Copy(s.ctx, s.program(), "/usr/local/bin/gardenadm")
			}
			return err
		})
	}
	check(s, group.Wait())
	hosts := make([]*host, len(names))
	for i, one := range machines {
		hosts[i] = &host{Machine: one, story: s}
	}
	return hosts
}

// bootBare starts a machine with nothing of ours on it.
func (s *story) bootBare(name string) *host {
	s.Helper()
	one, err := s.network.Boot(s.ctx, name)
	check(s, err)
	return &host{Machine: one, story: s}
}

// program is the gardenadm of make build, or the one that GARDENADM_PROGRAM names.
func (s *story) program() string {
	if named := os.Getenv("GARDENADM_PROGRAM"); named != "" {
		return named
	}
	return s.product("bin/gardenadm")
}

// product returns the path of something that `make build` makes.
func (s *story) product(path string) string {
	s.Helper()
	full := filepath.Join(s.root, path)
	if _, err := os.Stat(full); err != nil {
		s.Fatalf("%s is not there: run make build first", path)
	}
	return full
}

// importTestImage brings the image of the test workload to the node as a user's own images come into an air gap: as a tar.
func (h *host) importTestImage() {
	h.story.Helper()
	check(h.story, h.Copy(h.story.ctx, h.story.testImage(), "/root/testimage"))
	h.run("tar", "-C", "/root/testimage", "-cf", "/root/testimage.tar", ".")
	h.run("gardenadm", "bundle", "import", "/root/testimage.tar")
	h.run("test", "!", "-e", "/var/lib/gardenadm/foreign-images")
	h.run("rm", "-r", "/root/testimage", "/root/testimage.tar")
}

// testImage is a layout with the image of the test workload.
func (s *story) testImage() string {
	s.Helper()
	image := filepath.Join(s.TempDir(), "testimage")
	s.goRun("./hack/build", "testimage", "-o", image)
	return image
}

// gardenadm runs the program on this computer and returns its stdout.
func (s *story) gardenadm(args ...string) string {
	s.Helper()
	var problems strings.Builder
	command := exec.CommandContext(s.ctx, s.program(), args...)
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		s.Fatalf("gardenadm %s: %v\n%s", strings.Join(args, " "), err, problems.String())
	}
	return string(out)
}

func (s *story) goRun(args ...string) {
	s.Helper()
	command := exec.CommandContext(s.ctx, "go", append([]string{"run"}, args...)...)
	command.Dir = s.root
	out, err := command.CombinedOutput()
	if err != nil {
		s.Fatalf("go run %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// eventually repeats the check until it is nil; the last failure is reported.
func (s *story) eventually(what string, within time.Duration, try func() error) {
	s.Helper()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: not within %s: %v", what, within, err)
		}
		select {
		case <-s.ctx.Done():
			s.Fatalf("%s: %v: %v", what, context.Cause(s.ctx), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// host is a machine on which gardenadm is used.
type host struct {
	*machine.Machine
	story *story
}

// run executes a command and returns its stdout; a failure ends the test with all its output.
func (h *host) run(command ...string) string {
	h.story.Helper()
	out, err := h.Exec(h.story.ctx, command...)
	if err != nil {
		h.story.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, out.Stdout, out.Stderr)
	}
	return out.Stdout
}

// kubectl is what root types on the node.
func (h *host) kubectl(args ...string) (string, error) {
	out, err := h.Exec(h.story.ctx, append([]string{"/opt/bin/kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"}, args...)...)
	return out.Stdout, err
}

func (h *host) mustKubectl(args ...string) string {
	h.story.Helper()
	out, err := h.kubectl(args...)
	if err != nil {
		h.story.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// apply sends manifests to the API.
func (h *host) apply(manifests string) {
	h.story.Helper()
	check(h.story, h.WriteFile(h.story.ctx, "/root/manifests.yaml", []byte(manifests), 0o600))
	h.mustKubectl("apply", "--server-side", "-f", "/root/manifests.yaml")
}

// allPodsReady is nil when every pod of all namespaces is Ready, and there are at least as many as wanted.
func (h *host) allPodsReady(atLeast int) error {
	out, err := h.kubectl("get", "pods", "-A", "--no-headers", "-o",
		`custom-columns=NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,PHASE:.status.phase`)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < atLeast {
		return fmt.Errorf("%d pods, want at least %d:\n%s", len(lines), atLeast, out)
	}
	for _, line := range lines {
		if fields := strings.Fields(line); len(fields) != 3 || fields[1] != "True" {
			return fmt.Errorf("not all pods are Ready:\n%s", out)
		}
	}
	return nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// slug makes a name that machines, networks and directories may carry.
func slug(name string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			out.WriteRune(r)
		} else {
			out.WriteByte('-')
		}
	}
	return strings.Trim(strings.TrimPrefix(out.String(), "test"), "-")
}
