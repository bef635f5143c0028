package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// What the agent remembers. Nothing here says what is on the host, that is looked up every time;
// it says what is ours to remove, and what is still to be restarted.
const (
	fileApplied = layout.DirAgent + "/last-applied-osc.yaml"
	filePending = layout.DirAgent + "/last-computed-osc-changes.yaml"
	fileRecords = layout.DirAgent + "/image-files.yaml"
)

// Owned is what an OperatingSystemConfig put on the host.
type Owned struct {
	Files []string    `json:"files,omitempty"`
	Units []OwnedUnit `json:"units,omitempty"`
}

// OwnedUnit is a unit of an OperatingSystemConfig: its unit file (if that is ours) and drop-ins, and what restarts it.
type OwnedUnit struct {
	Name  string   `json:"name"`
	Files []string `json:"files,omitempty"`
	Watch []string `json:"watch,omitempty"`
}

// Pending is what a plan that was begun still has to do, and the host does not show by itself.
type Pending struct {
	// Owned is what was ours before the plan, and what is after it.
	Owned Owned `json:"owned"`
	// Reload: systemd has not read all unit files yet.
	Reload bool `json:"reload,omitempty"`
	// Restart are the units that run with what was there before.
	Restart []string `json:"restart,omitempty"`
}

// Record says which image a file was extracted from, and what it contained then.
type Record struct {
	Digest      string `json:"digest"` // of the image
	PathInImage string `json:"pathInImage"`
	SHA256      string `json:"sha256"` // of the file
}

func (w Want) owned() Owned {
	var owned Owned
	for _, file := range w.Files {
		owned.Files = append(owned.Files, file.Path)
	}
	for _, unit := range w.Units {
		out := OwnedUnit{Name: unit.Name, Watch: unit.Watch}
		for _, file := range unit.Files {
			out.Files = append(out.Files, file.Path)
		}
		owned.Units = append(owned.Units, out)
	}
	return owned.union(Owned{})
}

// union returns what is in one of both, sorted.
func (o Owned) union(other Owned) Owned {
	units := map[string]OwnedUnit{}
	for _, unit := range slices.Concat(o.Units, other.Units) {
		units[unit.Name] = OwnedUnit{
			Name:  unit.Name,
			Files: merge(units[unit.Name].Files, unit.Files),
			Watch: merge(units[unit.Name].Watch, unit.Watch),
		}
	}
	out := Owned{Files: merge(o.Files, other.Files)}
	for _, name := range slices.Sorted(maps.Keys(units)) {
		out.Units = append(out.Units, units[name])
	}
	return out
}

// paths returns all of its files, those of its units too.
func (o Owned) paths() []string {
	paths := slices.Clone(o.Files)
	for _, unit := range o.Units {
		paths = append(paths, unit.Files...)
	}
	return merge(paths, nil)
}

// directories returns those that go with the last of their files: drop-in directories, and those of registries, because an empty one
// would still keep containerd from using its defaults for other registries.
func (o Owned) directories() []string {
	var directories []string
	for _, file := range o.paths() {
		if dir := path.Dir(file); path.Dir(dir) == layout.DirRegistryHosts || path.Dir(dir) == layout.DirUnits {
			directories = append(directories, dir)
		}
	}
	return merge(directories, nil)
}

func merge(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// ownedBy reads what an earlier Apply wrote down.
func ownedBy(applied []byte) (Owned, error) {
	if applied == nil {
		return Owned{}, nil
	}
	osc := &extensionsv1alpha1.OperatingSystemConfig{}
	if err := yaml.Unmarshal(applied, osc); err != nil {
		return Owned{}, fmt.Errorf("decode %s (without it, nothing of the former configuration can be removed): %w", fileApplied, err)
	}
	want, err := NewWant(osc, Local{}, "")
	return want.owned(), err
}

// read returns a file's content, nil when there is none.
func (a *Agent) read(ctx context.Context, path string) ([]byte, error) {
	data, err := a.host.Files.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// load decodes a file of the agent's own; nil when there is none.
func load[T any](ctx context.Context, a *Agent, path string) (*T, error) {
	data, err := a.read(ctx, path)
	if err != nil || data == nil {
		return nil, err
	}
	out := new(T)
	if err := yaml.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	return out, nil
}
