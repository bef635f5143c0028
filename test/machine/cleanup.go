package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Remove takes the machine away with everything on it.
func (m *Machine) Remove(ctx context.Context) error {
	if err := m.engine.removeMachine(ctx, m.full); err != nil {
		return fmt.Errorf("remove machine %s: %w", m.name, err)
	}
	if err := m.engine.run(ctx, IO{}, "volume", "rm", m.full+"-var"); err != nil {
		return fmt.Errorf("remove machine %s: %w", m.name, err)
	}
	return nil
}

func (e *Engine) removeMachine(ctx context.Context, id string) error {
	return e.run(ctx, IO{}, "rm", "--force", id)
}

// Cleanup removes all that a run of this prefix has made, also one that has crashed or is still running.
func (e *Engine) Cleanup(ctx context.Context, prefix string) error {
	filter := []string{"--filter", "label=" + labelRun + "=" + prefix}
	each := func(list []string, remove func(string) error) error {
		names, err := e.lines(ctx, append(list, filter...)...)
		for _, name := range names {
			err = errors.Join(err, remove(name)) // one that fails does not keep the others
		}
		return err
	}
	err := errors.Join(
		each([]string{"ps", "--all", "--quiet"}, func(id string) error { return e.removeMachine(ctx, id) }),
		each([]string{"volume", "ls", "--quiet"}, func(name string) error { return e.run(ctx, IO{}, "volume", "rm", name) }),
		each([]string{"network", "ls", "--format", "{{.Name}}"}, func(full string) error {
			if err := removeFence(ctx, full); err != nil {
				return err
			}
			return e.run(ctx, IO{}, "network", "rm", full)
		}))
	if err != nil {
		return fmt.Errorf("clean up run %s: %w", prefix, err)
	}
	return nil
}

// Sweep cleans up the runs whose process is gone. Runs without one stay.
func (e *Engine) Sweep(ctx context.Context) error {
	unlock, err := lock(ctx, "gardenadm-machine-sweep") // two sweepers would stumble over each other
	if err != nil {
		return err
	}
	defer unlock()
	dead := map[string]bool{}
	for _, list := range [][]string{{"ps", "--all"}, {"volume", "ls"}, {"network", "ls"}} {
		kind := list[0]
		names := []string{kind, "ls", "--quiet"}
		if kind == "ps" {
			kind, names = "container", []string{"ps", "--all", "--quiet"}
		}
		found, err := e.lines(ctx, append(names, "--filter", "label="+labelPID)...)
		if err != nil {
			return fmt.Errorf("look for leftovers: %w", err)
		}
		for _, name := range found {
			run, err := e.runOf(ctx, kind, name)
			if err != nil { // removed meanwhile, by the run that it belongs to
				continue
			}
			if run.Prefix != "" && run.PID > 0 && gone(run.PID) {
				dead[run.Prefix] = true
			}
		}
	}
	for prefix := range dead {
		fmt.Fprintf(e.progress, "machines: removing leftovers of run %s\n", prefix)
		err = errors.Join(err, e.Cleanup(ctx, prefix))
	}
	return err
}

func (e *Engine) runOf(ctx context.Context, kind, name string) (Run, error) {
	labels := ".Labels"
	if kind == "container" {
		labels = ".Config.Labels"
	}
	out, err := e.lines(ctx, kind, "inspect", "--format",
		fmt.Sprintf(`{{index %s %q}} {{index %s %q}}`, labels, labelRun, labels, labelPID), name)
	if err != nil || len(out) != 2 {
		return Run{}, err
	}
	pid, err := strconv.Atoi(out[1])
	return Run{Prefix: out[0], PID: pid}, err
}

func gone(pid int) bool {
	process, err := os.FindProcess(pid)
	return err != nil || errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
