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
		enable := leading(rest, Enable)
		rest = rest[max(len(enable), 1):]
		if len(errs) > 0 && !step.command() {
			break
		}
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		var err error
		if len(enable) > 0 { // all at once: systemd reloads for each call
			err = a.host.Units.Enable(ctx, enable...)
		} else {
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

// leading are the targets of the steps before the first one of another verb.
func leading(steps []Step, verb Verb) (targets []string) {
	for _, step := range steps {
		if step.Verb != verb {
			break
		}
		targets = append(targets, step.Target)
	}
	return targets
}

// command says that the step is a command to a unit, which later steps but the last do not build on.
func (s Step) command() bool {
	return s.Verb == Enable || s.Verb == StartUp || s.Verb == Restart
}

// run is one Apply under way.
type run struct {
	*Agent
	plan    Plan
	next    Pending
	records map[string]Record
}

func (r *run) do(ctx context.Context, step Step) error {
	files, units := r.host.Files, r.host.Units
	switch step.Verb {
	case MakeDir:
		owner := host.Owner{UID: int(step.directory.UID), GID: int(step.directory.GID)}
		return files.MakeDir(ctx, step.Target, owner, fs.FileMode(step.directory.Mode))
	case Extract:
		return r.extract(ctx, step)
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

// extract takes the files out of an image and records what they contain. Interrupted, it is done again:
// files without a record count as changed.
func (r *run) extract(ctx context.Context, step Step) error {
	missing := map[string]File{}
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
		r.records[file.Path] = Record{Digest: step.digest, PathInImage: path, SHA256: hex.EncodeToString(sum.Sum(nil))}
		return nil
	}
	paths := slices.Sorted(maps.Keys(missing))
	if err := r.source.Extract(ctx, step.Target, paths, write); err != nil {
		return fmt.Errorf("extract image %s: %w", step.Target, err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("extract image %s: files %q are missing", step.Target, slices.Sorted(maps.Keys(missing)))
	}
	return r.save(ctx, fileRecords, r.records)
}

func (a *Agent) save(ctx context.Context, path string, content any) error {
	data, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return a.host.Files.Write(ctx, path, bytes.NewReader(data), defaultMode)
}
