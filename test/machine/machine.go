package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Machine is a plain Debian host with systemd, before it is a node. Its root file system and /var stay until Remove.
type Machine struct {
	engine  *Engine
	run     Run
	name    string
	full    string
	address netip.Addr
}

// Output is what a command said.
type Output struct {
	Stdout string
	Stderr string
	Code   int
}

// Machine opens a machine that is there.
func (e *Engine) Machine(ctx context.Context, run Run, name string) (*Machine, error) {
	machine, err := e.openMachine(ctx, run, name)
	if err == nil && machine == nil {
		err = fmt.Errorf("open machine %s of run %s: there is none", name, run.Prefix)
	}
	return machine, err
}

// Machines lists the machines of a run, running or not.
func (e *Engine) Machines(ctx context.Context, run Run) ([]*Machine, error) {
	names, err := e.machineLabels(ctx, labelName, labelRun+"="+run.Prefix)
	if err != nil {
		return nil, fmt.Errorf("list machines of run %s: %w", run.Prefix, err)
	}
	var machines []*Machine
	for _, name := range names {
		machine, err := e.Machine(ctx, run, name)
		if err != nil {
			return nil, err
		}
		machines = append(machines, machine)
	}
	return machines, nil
}

// machineLabels returns one label of all machines that have the other labels. (Docker's and Podman's "ps" have no
// common word for it.)
func (e *Engine) machineLabels(ctx context.Context, label string, with ...string) ([]string, error) {
	list := []string{"ps", "--all", "--quiet"}
	for _, one := range with {
		list = append(list, "--filter", "label="+one)
	}
	ids, err := e.lines(ctx, list...)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	format := fmt.Sprintf("{{index .Config.Labels %q}}", label)
	return e.lines(ctx, append([]string{"container", "inspect", "--format", format}, ids...)...)
}

type containerInfo struct {
	Config struct{ Labels map[string]string }
	State  struct{ Status string }
}

// openMachine returns nil if there is no such machine.
func (e *Engine) openMachine(ctx context.Context, run Run, name string) (*Machine, error) {
	full, err := run.full(name)
	if err != nil {
		return nil, err
	}
	var info containerInfo
	if found, err := e.inspect(ctx, "container", full, &info); err != nil || !found {
		return nil, err
	}
	address, err := netip.ParseAddr(info.Config.Labels[labelAddress])
	if err != nil || info.Config.Labels[labelRun] != run.Prefix {
		return nil, fmt.Errorf("open machine %s: container %s is not one of run %s", name, full, run.Prefix)
	}
	return &Machine{engine: e, run: run, name: name, full: full, address: address}, nil
}

// Name is the machine's host name.
func (m *Machine) Name() string { return m.name }

// Addr is the machine's address, reachable from the host too. It never changes.
func (m *Machine) Addr() netip.Addr { return m.address }

// Exec runs a command on the machine. A command that fails is an error (*CommandError), and Output is filled too.
func (m *Machine) Exec(ctx context.Context, command ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	err := m.Stream(ctx, IO{Out: &stdout, Err: &stderr}, command...)
	output := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	var failed *CommandError
	if errors.As(err, &failed) {
		output.Code = failed.Code
	}
	return output, err
}

// Stream runs a command on the machine with the given streams. When ctx ends the call returns, but what it started
// on the machine may go on.
func (m *Machine) Stream(ctx context.Context, streams IO, command ...string) error {
	args := []string{"exec"}
	if streams.In != nil {
		args = append(args, "--interactive")
	}
	shown := append([]string{"on", m.name}, command...)
	return run(ctx, shown, streams, m.engine.command(append(append(args, m.full), command...)...)...)
}

// ReadFile reads a file of the machine.
func (m *Machine) ReadFile(ctx context.Context, path string) ([]byte, error) {
	var out bytes.Buffer
	if err := m.Stream(ctx, IO{Out: &out}, "cat", "--", path); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// status is the engine's word: created, running, paused, exited.
func (m *Machine) status(ctx context.Context) (string, error) {
	var info containerInfo
	found, err := m.engine.inspect(ctx, "container", m.full, &info)
	if err != nil {
		return "", err
	}
	if !found {
		return "", fmt.Errorf("machine %s is gone", m.name)
	}
	return strings.ToLower(info.State.Status), nil
}
