package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Apply does what the plan says. It stops at the first failure, but for commands to units: one unit that fails
// must not keep kubelet from running. What remains is found by the next Observe.
func (a *Agent) Apply(ctx context.Context, plan Plan) error {
	run := &run{Agent: a, plan: plan, next: plan.next, records: map[string]Record{}}
	maps.Copy(run.records, plan.records)
	var errs []error
	for rest := plan.Steps; len(rest) > 0; {
		step := rest[0]
		enable, extract := leading(rest, Enable), leading(rest, Extract)
		rest = rest[max(len(enable), len(extract), 1):]
		if len(errs) > 0 && !step.command() {
			break
		}
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		var err error
		switch {
		case len(enable) > 0: // all at once: systemd reloads for each call
			var units []string
			for _, one := range enable {
				units = append(units, one.Target)
			}
			err = a.host.Units.Enable(ctx, units...)
		case len(extract) > 0:
			err = run.extractAll(ctx, extract)
		default:
			err = run.do(ctx, step)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("apply OperatingSystemConfig: %w", err)
	}
	return nil
}

// leading are the steps before the first one of another verb.
func leading(steps []Step, verb Verb) []Step {
	end := slices.IndexFunc(steps, func(step Step) bool { return step.Verb != verb })
	if end < 0 {
		return steps
	}
	return steps[:end]
}

// command says that the step is a command to a unit, which later steps but the last do not build on.
func (s Step) command() bool {
	return s.Verb == Enable || s.Verb == StartUp || s.Verb == Restart
}

// run is one Apply under way.
type run struct {
	*Agent
	plan Plan
	next Pending

	mu      sync.Mutex
	records map[string]Record
}

func (r *run) do(ctx context.Context, step Step) error {
	files, units := r.host.Files, r.host.Units
	switch step.Verb {
	case MakeDir:
		owner := host.Owner{UID: int(step.directory.UID), GID: int(step.directory.GID)}
		return files.MakeDir(ctx, step.Target, owner, fs.FileMode(step.directory.Mode))
	case Write:
		return files.Write(ctx, step.Target, bytes.NewReader(step.files[0].Data), step.files[0].Mode)
	case Remove:
		return files.Remove(ctx, step.Target)
	case Reload:
		return units.Reload(ctx)
	case Disable:
		return units.Disable(ctx, step.Target)
	case Stop:
		return units.Stop(ctx, step.Target)
	case StartUp:
		return units.Start(ctx, step.Target)
	case Restart:
		return r.restart(ctx, step.Target)
	case Remember:
		return r.save(ctx, filePending, r.next)
	case Conclude:
		return files.Write(ctx, fileApplied, bytes.NewReader(r.plan.applied), defaultMode)
	case Forget:
		return files.Remove(ctx, filePending)
	}
	return fmt.Errorf("unknown step %q", step.Verb)
}

// restart ticks the unit off, so that a later unit that cannot be restarted does not restart this one again and again.
func (r *run) restart(ctx context.Context, unit string) error {
	if err := r.host.Units.Restart(ctx, unit); err != nil {
		return err
	}
	r.next.Reload = false
	r.next.Restart = slices.DeleteFunc(slices.Clone(r.next.Restart), func(u string) bool { return u == unit })
	return r.save(ctx, filePending, r.next)
}

// parallel is how many images files are taken out of at the same time: while one is written, the next one comes.
const parallel = 2

// extractAll begins no further image after one that failed.
func (r *run) extractAll(ctx context.Context, steps []Step) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, step := range steps {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return r.extract(ctx, step)
		})
	}
	return group.Wait()
}

// extract takes the files out of an image and records what they contain. Interrupted, it is done again:
// files without a record count as changed.
func (r *run) extract(ctx context.Context, step Step) error {
	missing, records := map[string]File{}, map[string]Record{}
	for _, file := range step.files {
		missing[file.PathInImage] = file
	}
	write := func(path string, content io.Reader) error {
		file, ok := missing[path]
		if !ok {
			return fmt.Errorf("file %s was not asked for, or came twice", path)
		}
		delete(missing, path)
		sum := sha256.New()
		if err := r.host.Files.Write(ctx, file.Path, io.TeeReader(content, sum), file.Mode); err != nil {
			return err
		}
		records[file.Path] = Record{Digest: step.digest, PathInImage: path, SHA256: hex.EncodeToString(sum.Sum(nil))}
		return nil
	}
	paths := slices.Sorted(maps.Keys(missing))
	if err := r.source.Extract(ctx, step.Target, paths, write); err != nil {
		return fmt.Errorf("extract image %s: %w", step.Target, err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("extract image %s: files %q are missing", step.Target, slices.Sorted(maps.Keys(missing)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.records, records)
	return r.save(ctx, fileRecords, r.records)
}

func (a *Agent) save(ctx context.Context, path string, content any) error {
	data, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return a.host.Files.Write(ctx, path, bytes.NewReader(data), defaultMode)
}
