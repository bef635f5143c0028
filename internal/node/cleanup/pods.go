package cleanup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

const (
	// podTries is how often the container runtime is asked to remove what it could not remove before.
	podTries = 3
	// podWait is how long it may take for it beside the grace: it waits for the pod network and for mounts.
	podWait = 20 * time.Second
	// atOnce bounds how many pods are removed at a time; each starts programs.
	atOnce = 16
)

// runtimeRuns says that there is a containerd to be asked.
func (c *Cleanup) runtimeRuns(ctx context.Context) bool {
	state, err := c.Units.State(ctx, layout.UnitContainerd)
	return err == nil && state.Active == "active"
}

// removePods removes them through the container runtime, which also takes them off the network as long as its files are there.
// What it cannot do is no failure yet: the next step does without it.
func (c *Cleanup) removePods(ctx context.Context) error {
	if !c.runtimeRuns(ctx) {
		return nil
	}
	for range podTries {
		pods, err := c.pods(ctx)
		if err != nil || len(pods) == 0 {
			break
		}
		c.removeAll(ctx, pods)
	}
	return ctx.Err()
}

// pods are those that were not there before.
func (c *Cleanup) pods(ctx context.Context) ([]host.Sandbox, error) {
	all, err := c.Runtime.Sandboxes(ctx)
	return slices.DeleteFunc(all, func(s host.Sandbox) bool { return c.hadContainer(s.ID) }), err
}

func (c *Cleanup) hadContainer(id string) bool {
	return c.found.before.Had(record.Container, record.KubernetesNamespace+" "+id)
}

func (c *Cleanup) removeAll(ctx context.Context, pods []host.Sandbox) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Grace+podWait)
	defer cancel()
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, pod := range pods {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			_ = c.Runtime.RemoveSandbox(ctx, pod.ID, c.options.Grace) // the list says next what is left
		})
	}
	all.Wait()
}

// killPods ends all that still runs of pods and of gardenadm, but for the container runtime, and removes the control groups of pods.
func (c *Cleanup) killPods(ctx context.Context) error {
	errs := []error{c.killProcesses(ctx, func(p host.Process) bool { return path.Base(p.Program) != "containerd" })}
	groups, err := c.Processes.Cgroups(ctx, record.CgroupPrefix)
	errs = append(errs, err)
	for _, group := range groups {
		errs = append(errs, c.Processes.RemoveCgroup(ctx, group))
	}
	// systemd is told, which made them: it would keep the slices in memory.
	units, err := c.UnitTable.List(ctx)
	errs = append(errs, err)
	for _, unit := range units {
		if strings.HasPrefix(unit.Name, record.CgroupPrefix) && path.Ext(unit.Name) == ".slice" {
			errs = append(errs, c.Units.Stop(ctx, unit.Name))
		}
	}
	return errors.Join(errs...)
}

// killProcesses kills those of the node that are meant, and says what does not end.
func (c *Cleanup) killProcesses(ctx context.Context, meant func(host.Process) bool) error {
	list, err := c.Processes.List(ctx)
	errs := []error{err}
	for _, process := range list {
		ours := record.OfNode(process) || !process.Contained && slices.Contains(c.found.owned.Files, process.Program)
		if ours && meant(process) && !c.hadProcess(process) {
			errs = append(errs, c.Processes.Kill(ctx, process))
		}
	}
	return errors.Join(errs...)
}

// hadProcess knows the processes of containers that were there before, and programs that were where ours are.
func (c *Cleanup) hadProcess(process host.Process) bool {
	if at := slices.Index(process.Args, "-id"); at >= 0 && at+1 < len(process.Args) && c.hadContainer(process.Args[at+1]) {
		return true
	}
	return c.found.before.Had(record.Process, fmt.Sprintf("%d %s", process.PID, process.Program)) ||
		c.found.before.Had(record.File, process.Program)
}

// clearRuntime stops our own containerd. One that was there before loses what it got since, and goes on.
func (c *Cleanup) clearRuntime(ctx context.Context) error {
	var errs []error
	if c.found.foreign && c.runtimeRuns(ctx) {
		errs = append(errs, c.Runtime.Clear(ctx, record.KubernetesNamespace, c.found.before.Held(record.KubernetesNamespace)))
	}
	own, err := c.ownUnits(ctx)
	errs = append(errs, err)
	for _, unit := range own {
		if unit.Name == layout.UnitContainerd {
			errs = append(errs, c.Units.Stop(ctx, unit.Name))
		}
	}
	// Ours is the one whose program is in our directory; it lets its shims live when it is stopped.
	errs = append(errs, c.killProcesses(ctx, func(host.Process) bool { return true }))
	return errors.Join(errs...)
}
