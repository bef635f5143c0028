package secret

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Directory is the Store until the API has the secrets: one file per secret, readable by root only.
type Directory struct{ Path string }

const extension = ".yaml"

// Load reads every secret of the directory; a missing directory holds none.
func (d Directory) Load(ctx context.Context) (Set, error) {
	entries, err := os.ReadDir(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Set{}, nil
	}
	if err != nil {
		return nil, err
	}
	set := Set{}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != extension || strings.HasPrefix(entry.Name(), ".") {
			continue // a temporary file of a killed run
		}
		found, err := d.read(filepath.Join(d.Path, entry.Name()))
		if err != nil {
			return nil, err
		}
		set[found.Spec.Key()] = found
	}
	return set, nil
}

func (d Directory) read(path string) (Secret, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, err
	}
	object := &corev1.Secret{}
	if err := yaml.UnmarshalStrict(raw, object); err != nil {
		return Secret{}, fault.New(fault.BadSecrets, "read %s: not a Secret manifest", path) // the decoder's text may quote the content
	}
	out, err := FromObject(object)
	if err != nil {
		return Secret{}, fault.New(fault.BadSecrets, "read %s: %w", path, err)
	}
	return out, nil
}

// Save writes the secret's file beside its place, syncs and renames it.
func (d Directory) Save(_ context.Context, s Secret) error {
	object, err := Object(s)
	if err != nil {
		return err
	}
	raw, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return err
	}
	path := filepath.Join(d.Path, s.Spec.Key()+extension)
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(d.Path))
	if err != nil {
		return err
	}
	defer file.Cleanup() //nolint:errcheck // after a successful replace there is nothing to clean
	if _, err := file.ReadFrom(bytes.NewReader(raw)); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// Memory is a Store that forgets: for dry runs and tests.
type Memory struct{ set Set }

// Load returns what was saved.
func (m *Memory) Load(context.Context) (Set, error) {
	out := Set{}
	for key, s := range m.set {
		out[key] = s
	}
	return out, nil
}

// Save keeps the secret.
func (m *Memory) Save(_ context.Context, s Secret) error {
	if m.set == nil {
		m.set = Set{}
	}
	m.set[s.Spec.Key()] = s
	return nil
}
