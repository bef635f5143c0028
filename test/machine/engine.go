// Package machine turns containers into Linux machines with systemd, on networks that lead nowhere.
// Used by the e2e tests, by "make cluster" (through cmd/machine) and by benchmarks.
package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Labels of everything that this package creates. They are the only memory: a later process finds a run by them.
const (
	labelRun     = "dev.gardenadm.run"     // prefix of the run
	labelPID     = "dev.gardenadm.pid"     // process that the run belongs to; absent when the run outlives its process
	labelName    = "dev.gardenadm.name"    // name without the prefix
	labelNetwork = "dev.gardenadm.network" // of a machine: name of its network, without the prefix
	labelAddress = "dev.gardenadm.address" // of a machine: its address
	labelSubnet  = "dev.gardenadm.subnet"  // of a network: its addresses
)

// Run is what belongs together: all its networks, machines and volumes are named "<prefix>-…" and removed together.
type Run struct {
	Prefix string
	// PID is the process that the run dies with: Sweep removes the run once that process is gone.
	// Zero makes a run that stays until Cleanup is called.
	PID int
}

// Engine is Docker or Podman.
type Engine struct {
	program  string
	global   []string // arguments before the subcommand
	progress io.Writer
}

// New picks Docker where its daemon answers, else Podman. Progress of long work (the image build) goes to progress.
func New(ctx context.Context, progress io.Writer) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("start machines: root is needed (networks, nftables and privileged containers)")
	}
	docker := &Engine{program: "docker", progress: progress}
	if _, err := exec.LookPath("docker"); err == nil && docker.answers(ctx) {
		return docker, nil
	}
	if _, err := exec.LookPath("podman"); err != nil {
		return nil, errors.New("start machines: neither a Docker daemon nor Podman is there (run: hack/setup machine)")
	}
	// Everything that Podman would guess from the host or read from /etc is said here: a host without systemd has
	// neither its cgroup manager nor its journal, and crun refuses hybrid cgroups.
	return &Engine{program: "podman", progress: progress,
		global: []string{"--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"}}, nil
}

// Name is "docker" or "podman".
func (e *Engine) Name() string { return e.program }

func (e *Engine) docker() bool { return e.program == "docker" }

func (e *Engine) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := e.output(ctx, "info", "--format", "{{.ServerVersion}}")
	return err == nil && version != ""
}

// IO is where a command's streams go. Nil streams are empty, or thrown away.
type IO struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// CommandError is a command that did not succeed.
type CommandError struct {
	Command []string
	Code    int    // exit code; -1 if the command did not run or was killed
	Output  string // end of what it wrote to stderr, or to stdout if that is empty
	Err     error
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("run %q: %v", strings.Join(e.Command, " "), e.Err)
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

func (e *CommandError) Unwrap() error { return e.Err }

// run runs a program of the host. shown is the command as an error names it.
func run(ctx context.Context, shown []string, streams IO, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = 2 * time.Second
	cmd.Stdin = streams.In
	var stdout, stderr tail
	cmd.Stdout, cmd.Stderr = both(streams.Out, &stdout), both(streams.Err, &stderr)
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	code := -1
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	text := strings.TrimSpace(string(stderr))
	if text == "" {
		text = strings.TrimSpace(string(stdout))
	}
	return &CommandError{Command: shown, Code: code, Output: text, Err: err}
}

// output runs the engine and returns what it prints.
func (e *Engine) output(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := e.run(ctx, IO{Out: &out}, args...)
	return strings.TrimSpace(out.String()), err
}

func (e *Engine) run(ctx context.Context, streams IO, args ...string) error {
	return run(ctx, append([]string{e.program}, args...), streams, e.command(args...)...)
}

func (e *Engine) command(args ...string) []string {
	return append(append([]string{e.program}, e.global...), args...)
}

// lines returns the non-empty lines that the engine prints.
func (e *Engine) lines(ctx context.Context, args ...string) ([]string, error) {
	out, err := e.output(ctx, args...)
	return strings.Fields(out), err
}

// inspect reads one object; found is false if there is none of that name.
func (e *Engine) inspect(ctx context.Context, kind, name string, into any) (found bool, err error) {
	// Listing tells "not there" from "could not ask", which the exit code of inspect does not.
	list := []string{kind, "ls", "--filter", "name=^" + name + "$", "--format", "{{.Name}}"}
	if kind == "container" {
		list = []string{"ps", "--all", "--filter", "name=^" + name + "$", "--format", "{{.Names}}"}
	}
	names, err := e.lines(ctx, list...)
	if err != nil || len(names) == 0 {
		return false, err
	}
	out, err := e.output(ctx, kind, "inspect", name)
	if err != nil {
		return false, err
	}
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return false, fmt.Errorf("read %s %s: %w", kind, name, err)
	}
	if len(all) != 1 {
		return false, fmt.Errorf("read %s %s: %d answers", kind, name, len(all))
	}
	return true, json.Unmarshal(all[0], into)
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// full is the name that the engine knows a thing of the run by.
func (r Run) full(name string) (string, error) {
	if !namePattern.MatchString(r.Prefix) || !namePattern.MatchString(name) {
		return "", fmt.Errorf("name %q of run %q: only lower case letters, digits and dashes", name, r.Prefix)
	}
	return r.Prefix + "-" + name, nil
}

func (r Run) labels(more ...string) []string {
	args := []string{"--label", labelRun + "=" + r.Prefix}
	if r.PID != 0 {
		args = append(args, "--label", fmt.Sprintf("%s=%d", labelPID, r.PID))
	}
	for _, label := range more {
		args = append(args, "--label", label)
	}
	return args
}

// tail keeps the end of what is written to it: an error shows the end, which has the reason.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	const limit = 8 << 10
	*t = append(*t, p...)
	if len(*t) > limit {
		*t = append((*t)[:0], (*t)[len(*t)-limit:]...)
	}
	return len(p), nil
}

func both(first io.Writer, second io.Writer) io.Writer {
	if first == nil {
		return second
	}
	return io.MultiWriter(first, second)
}
