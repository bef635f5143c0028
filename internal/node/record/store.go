package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	// FileKept is where the record is while the machine is a node.
	FileKept = layout.DirState + "/host-record.json"
	// FileAside is where reset leaves it: in memory, so that a reboot takes the last trace away.
	FileAside = "/run/gardenadm-host-record.json"
)

// Keep takes the record and keeps it on disk, unless the machine needs none.
func Keep(ctx context.Context, h *host.Host) error {
	taken, err := Prepare(ctx, h)
	if err != nil {
		return err
	}
	return Save(ctx, h, taken)
}

// Prepare takes the record that Save keeps, and changes nothing. It is nil for a machine that has one, or that is a node already: a
// record of it would take what gardenadm made for what was there before.
func Prepare(ctx context.Context, h *host.Host) (*Record, error) {
	for _, sign := range []string{FileKept, layout.FileShootUID, layout.DirAgent} {
		_, err := h.Files.Stat(ctx, sign)
		if err == nil {
			return nil, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("record this machine: %w", err)
		}
	}
	taken, err := Take(ctx, h)
	if err != nil {
		return nil, err
	}
	// What a run that was killed here left was not there before gardenadm.
	maps.DeleteFunc(taken.Items[File], func(file, _ string) bool { return strings.HasPrefix(path.Base(file), host.TempPrefix) })
	return taken, nil
}

// Save keeps the record on disk; nil is nothing to be kept. It is to be the first change of what makes the machine a node.
func Save(ctx context.Context, h *host.Host, taken *Record) error {
	if taken == nil {
		return nil
	}
	raw, err := json.MarshalIndent(taken, "", " ")
	if err != nil {
		return fmt.Errorf("encode record of this machine: %w", err)
	}
	if err := h.Files.MakeDir(ctx, layout.DirState, host.Owner{}, 0o700); err != nil {
		return fmt.Errorf("keep record of this machine: %w", err)
	}
	if err := h.Files.Write(ctx, FileKept, bytes.NewReader(append(raw, '\n')), 0o600); err != nil {
		return fmt.Errorf("keep record of this machine: %w", err)
	}
	// One of a former life says nothing about this one.
	if err := h.Files.Remove(ctx, FileAside); err != nil {
		return fmt.Errorf("keep record of this machine: %w", err)
	}
	return nil
}

// Load returns the record that was kept, or the one that reset put aside; nil when there is none.
func Load(ctx context.Context, h *host.Host) (*Record, error) {
	for _, file := range []string{FileKept, FileAside} {
		raw, err := h.Files.Read(ctx, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read record of this machine: %w", err)
		}
		out := &Record{}
		if err := json.Unmarshal(raw, out); err != nil {
			return nil, fmt.Errorf("read record of this machine: decode %s: %w", file, err)
		}
		if out.Version != 1 {
			return nil, fmt.Errorf("read record of this machine: %s is of version %d, not 1", file, out.Version)
		}
		return out, nil
	}
	return nil, nil
}

// PutAside keeps the record over the removal of what holds it, for a comparison before the next reboot. Done again, it stays.
func PutAside(ctx context.Context, h *host.Host) error {
	raw, err := h.Files.Read(ctx, FileKept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = h.Files.Write(ctx, FileAside, bytes.NewReader(raw), 0o600)
	}
	if err == nil {
		err = h.Files.Remove(ctx, FileKept)
	}
	if err != nil {
		return fmt.Errorf("put record of this machine aside: %w", err)
	}
	return nil
}

// Verify compares the machine with its record; the second result is false when there is none.
func Verify(ctx context.Context, h *host.Host) (differences []Difference, known bool, err error) {
	before, err := Load(ctx, h)
	if err != nil || before == nil {
		return nil, false, err
	}
	after, err := Take(ctx, h)
	if err != nil {
		return nil, true, err
	}
	return Diff(before, after), true, nil
}
