package cleanup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

// found is what the work depends on. It is looked for before anything is changed.
type found struct {
	// nothing of gardenadm's is here.
	nothing bool
	// before is what the machine was, nil when nobody knows. What was there then stays, whatever it is called.
	before *record.Record
	owned  agent.Owned
	// problem is why before and owned are not all that there could be; "remove files" tells it.
	problem error
	// foreign: a containerd was there before, and keeps what it had.
	foreign bool
	memory
}

// look is the first step.
func (c *Cleanup) look(ctx context.Context) error {
	here, err := c.isNode(ctx)
	if err != nil {
		return fmt.Errorf("look at this machine: %w", err)
	}
	out := &found{nothing: !here}
	if !here {
		c.found = out
		return nil
	}
	var recordErr, ownedErr error
	out.before, recordErr = record.Load(ctx, c.Host)
	out.owned, ownedErr = agent.Remembered(ctx, c.Host)
	out.problem = errors.Join(recordErr, ownedErr)
	out.foreign = c.hadContainerd(ctx, out.before)
	out.memory = c.recall(ctx)
	if err := c.refuse(ctx, out); err != nil {
		return err
	}
	c.found = out
	return ctx.Err()
}

// isNode looks for what init and join make first and cleanup removes last. Without any of it, a kubelet that is here is another's: the
// directory alone says nothing, it may have been there before and have stayed.
func (c *Cleanup) isNode(ctx context.Context) (bool, error) {
	for _, sign := range []string{record.FileKept, layout.FileShootUID, layout.DirAgent, layout.FileNode, layout.FileLeft, fileMemory} {
		there, err := c.there(ctx, sign)
		if there || err != nil {
			return there, err
		}
	}
	names, err := c.names(ctx, layout.DirState)
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, host.TempPrefix) }), err
}

func (c *Cleanup) there(ctx context.Context, file string) (bool, error) {
	_, err := c.Files.Stat(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// names returns what is in a directory; a missing one has nothing.
func (c *Cleanup) names(ctx context.Context, dir string) ([]string, error) {
	names, err := c.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// hadContainerd says that one was there before ours. Where there is no record, a package that brings one is a sign of it.
func (c *Cleanup) hadContainerd(ctx context.Context, before *record.Record) bool {
	if before != nil {
		data := false
		for item := range before.Items[record.File] {
			data = data || path.Dir(item) == layout.DirContainerd && path.Base(item) != "lost+found"
		}
		return data || before.Had(record.Unit, layout.UnitContainerd)
	}
	for _, dir := range []string{"/usr/lib/systemd/system/", "/lib/systemd/system/", "/usr/local/lib/systemd/system/"} {
		if there, _ := c.there(ctx, dir+layout.UnitContainerd); there {
			return true
		}
	}
	return false
}

// refuse ends the work before it begins where it would take away what can never be had again.
func (c *Cleanup) refuse(ctx context.Context, f *found) error {
	if data, err := c.there(ctx, layout.DirEtcdData); c.options.EtcdData == Undecided && (data || err != nil) {
		return fault.New(fault.EtcdDataUndecided, "remove this node: it has data of etcd in %s", layout.DirEtcdData)
	}
	if f.foreign {
		return nil
	}
	others, err := c.othersContainers(ctx)
	if err != nil {
		return fmt.Errorf("look for containers of others: %w", err)
	}
	if len(others) > 0 {
		return fault.New(fault.ForeignContainers, "remove the container runtime: it has containers beside the pods: %s", strings.Join(others, ", "))
	}
	return nil
}

// dirTasks is where containerd keeps what runs, a directory for each of its namespaces.
const dirTasks = "/run/containerd/io.containerd.runtime.v2.task"

// othersContainers asks containerd, and where it does not answer, looks for containers that run.
func (c *Cleanup) othersContainers(ctx context.Context) ([]string, error) {
	var out []string
	if holdings, err := c.Runtime.Holdings(ctx); err == nil {
		for _, one := range holdings {
			for _, id := range one.Containers {
				if one.Namespace != record.KubernetesNamespace {
					out = append(out, one.Namespace+" "+id)
				}
			}
		}
		return out, nil
	}
	namespaces, err := c.names(ctx, dirTasks)
	for _, namespace := range namespaces {
		if namespace == record.KubernetesNamespace || err != nil {
			continue
		}
		var ids []string
		ids, err = c.names(ctx, path.Join(dirTasks, namespace))
		for _, id := range ids {
			out = append(out, namespace+" "+id)
		}
	}
	slices.Sort(out)
	return out, err
}
