package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// searchPath is the PATH of every program, and where names without a directory are looked up.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// stderrTail is how much of a failed program's stderr its error carries, in bytes.
const stderrTail = 2048

// ErrNoProgram is in the error of Run when the machine has no program of that name.
var ErrNoProgram = errors.New("the program is not there")

// RunError says how a program failed. It names neither arguments nor environment.
type RunError struct {
	Program string
	// ExitCode is the program's, or -1 when it was not started or ended by a signal.
	ExitCode int
	// Stderr is the end of what it printed there.
	Stderr string
	// Cause is what kept it from starting, what ended it, or the context's error.
	Cause error
}

func (e *RunError) Error() string {
	text := fmt.Sprintf("run %s: %v", e.Program, e.Cause)
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

func (e *RunError) Unwrap() error { return e.Cause }

// runner runs real programs.
type runner struct{}

func (runner) Run(ctx context.Context, command Command) (Output, error) {
	path, err := lookUp(command.Path)
	if err != nil {
		return Output{}, &RunError{Program: command.Path, ExitCode: -1, Cause: err}
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, command.Args...)
	cmd.Env = append([]string{"PATH=" + searchPath}, command.Env...)
	cmd.Dir = "/"
	cmd.Stdin = command.Stdin
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A group of its own, so that its children die with it, and so that Ctrl-C reaches us alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // a child that left the group may hold stdout open

	err = cmd.Run()
	output := Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if err == nil {
		return output, nil
	}
	failure := &RunError{Program: path, ExitCode: -1, Stderr: tail(stderr.Bytes()), Cause: err}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		failure.ExitCode = exit.ExitCode()
	}
	if ctx.Err() != nil {
		failure.Cause = ctx.Err()
	}
	return output, failure
}

// lookUp finds a program in the standard directories, whatever the caller's own PATH is.
func lookUp(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if name == "" || strings.Contains(name, "/") {
		return "", errors.New("the program is neither an absolute path nor a plain name")
	}
	for _, dir := range filepath.SplitList(searchPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", ErrNoProgram
}

func tail(output []byte) string {
	output = bytes.TrimSpace(output)
	if len(output) > stderrTail {
		output = output[len(output)-stderrTail:]
	}
	return strings.ToValidUTF8(string(output), "")
}
