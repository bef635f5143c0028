package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Have is what the host is now, as far as a Want is concerned, and what the agent put there before.
type Have struct {
	// Files holds every wanted or owned path that exists.
	Files map[string]host.FileInfo
	// Units holds the state of every wanted or owned unit.
	Units map[string]host.UnitState
	// Names holds the names in the directories that go with the last of our files: only an empty one is removed.
	Names map[string][]string
	// Digests are those of the wanted images.
	Digests map[string]string
	// Records are those of the files that were taken from images, by path.
	Records map[string]Record
	// Owned is what the last completed Apply put on the host, Applied its record of it.
	Owned   Owned
	Applied []byte
}

// Observe looks at the host: at the files themselves, not at a note about them.
// The second result is nil unless an Apply was interrupted.
func (a *Agent) Observe(ctx context.Context, want Want) (Have, *Pending, error) {
	have := Have{Files: map[string]host.FileInfo{}, Units: map[string]host.UnitState{}, Names: map[string][]string{}, Digests: map[string]string{}}
	pending, err := a.remembered(ctx, &have)
	if err != nil {
		return Have{}, nil, err
	}
	owned := have.Owned.union(want.owned())
	if pending != nil {
		owned = owned.union(pending.Owned)
	}
	if err := a.observeFiles(ctx, &have, want, owned); err != nil {
		return Have{}, nil, err
	}
	if err := a.observeUnits(ctx, &have, owned); err != nil {
		return Have{}, nil, err
	}
	if err := a.observeNames(ctx, &have, owned); err != nil {
		return Have{}, nil, err
	}
	for _, file := range want.Files {
		if file.Image == "" || have.Digests[file.Image] != "" {
			continue
		}
		if have.Digests[file.Image], err = a.digest(ctx, file.Image); err != nil {
			return Have{}, nil, fmt.Errorf("find image %s for %s: %w", file.Image, file.Path, err)
		}
	}
	return have, pending, nil
}

func (a *Agent) remembered(ctx context.Context, have *Have) (*Pending, error) {
	pending, err := load[Pending](ctx, a, filePending)
	if err != nil {
		return nil, err
	}
	records, err := load[map[string]Record](ctx, a, fileRecords)
	if err != nil {
		return nil, err
	}
	if records != nil {
		have.Records = *records
	}
	if have.Applied, err = a.read(ctx, fileApplied); err != nil {
		return nil, err
	}
	have.Owned, err = ownedBy(have.Applied)
	return pending, err
}

func (a *Agent) observeFiles(ctx context.Context, have *Have, want Want, owned Owned) error {
	paths := owned.paths()
	for _, directory := range want.Directories {
		paths = append(paths, directory.Path)
	}
	for _, path := range paths {
		info, err := a.host.Files.Stat(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		have.Files[path] = info
	}
	return nil
}

func (a *Agent) observeUnits(ctx context.Context, have *Have, owned Owned) error {
	for _, unit := range owned.Units {
		state, err := a.host.Units.State(ctx, unit.Name)
		if err != nil {
			return err
		}
		have.Units[unit.Name] = state
	}
	return nil
}

func (a *Agent) observeNames(ctx context.Context, have *Have, owned Owned) error {
	for _, directory := range owned.directories() {
		names, err := a.host.Files.List(ctx, directory)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		have.Names[directory] = names
	}
	return nil
}

// digest asks the source only when the reference does not say it already:
// a node that comes back alone has no registry to ask, and nothing to extract.
func (a *Agent) digest(ctx context.Context, image string) (string, error) {
	if _, digest, ok := strings.Cut(image, "@"); ok {
		return digest, nil
	}
	return a.source.Digest(ctx, image)
}
