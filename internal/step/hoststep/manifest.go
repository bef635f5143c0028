package hoststep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// KeptManifests returns the manifests of the cluster that an earlier run kept on this machine; ok is false when there are none.
func KeptManifests(ctx context.Context, h *host.Host) (set manifest.Set, ok bool, err error) {
	raw, err := h.Files.Read(ctx, layout.FileManifests)
	if errors.Is(err, fs.ErrNotExist) {
		return manifest.Set{}, false, nil
	}
	if err != nil {
		return manifest.Set{}, false, fmt.Errorf("read kept manifests: %w", err)
	}
	set, err = manifest.Decode(raw)
	if err != nil {
		return manifest.Set{}, false, fmt.Errorf("read kept manifests %s: %w", layout.FileManifests, err)
	}
	return set, true, nil
}

// KeepManifests writes what the cluster is made of to the disk, so that a run without manifests goes on with the same ones.
// They may hold Secrets: only root reads them.
func KeepManifests(ctx context.Context, h *host.Host, set manifest.Set) error {
	raw, err := manifest.Encode(set)
	if err != nil {
		return fmt.Errorf("keep manifests: %w", err)
	}
	if have, err := h.Files.Read(ctx, layout.FileManifests); err == nil && bytes.Equal(have, raw) {
		return nil
	}
	if err := h.Files.Write(ctx, layout.FileManifests, bytes.NewReader(raw), 0o600); err != nil {
		return fmt.Errorf("keep manifests: %w", err)
	}
	return nil
}

// SameManifests is nil when the set is the one that was kept for the cluster of this machine, or none was kept.
func SameManifests(ctx context.Context, h *host.Host, set manifest.Set) error {
	kept, ok, err := KeptManifests(ctx, h)
	if err != nil || !ok {
		return err
	}
	have, err := manifest.Encode(kept)
	if err != nil {
		return fmt.Errorf("compare manifests: %w", err)
	}
	want, err := manifest.Encode(set)
	if err != nil {
		return fmt.Errorf("compare manifests: %w", err)
	}
	if !bytes.Equal(have, want) {
		return fault.New(fault.OtherManifests, "compare manifests: the given ones differ from those that this machine's cluster was made of (%s)", layout.FileManifests)
	}
	return nil
}

// RemoveHalfWritten removes what a killed run began to write: it may hold Secrets, and nobody finishes it. The caller holds the machine's
// lock; if the node agent is writing there at this moment, it writes again.
func RemoveHalfWritten(ctx context.Context, h *host.Host) error {
	for _, directory := range []string{layout.DirState, layout.DirSecrets, path.Dir(layout.FileServingCert)} {
		if err := removeHalfWritten(ctx, h, directory, 0); err != nil {
			return fmt.Errorf("remove half-written files: %w", err)
		}
	}
	return RemoveAgentsHalfWritten(ctx, h)
}

// RemoveAgentsHalfWritten does so where no daemon but the node agent writes. The others may be writing while the node agent starts.
func RemoveAgentsHalfWritten(ctx context.Context, h *host.Host) error {
	for _, directory := range []string{
		layout.DirAgent, layout.DirAgentCredentials,
		layout.DirKubelet, path.Dir(layout.FileKubeletCert), path.Dir(layout.FileKubeletConfig), layout.DirKubeletConfig,
		path.Dir(layout.FileAdminKubeconfig), layout.DirManifests, layout.DirBin, layout.DirCNIBin,
		path.Dir(layout.FileContainerdConf), layout.DirContainerdDropIns, path.Dir(layout.FileSysctl), path.Dir(layout.FileJournaldConf), layout.DirUnits,
	} {
		if err := removeHalfWritten(ctx, h, directory, 0); err != nil {
			return fmt.Errorf("remove half-written files: %w", err)
		}
	}
	for _, tree := range []string{layout.DirStaticPods, layout.DirRegistryHosts} { // a pod's volumes, with directories of theirs
		if err := removeHalfWritten(ctx, h, tree, 3); err != nil {
			return fmt.Errorf("remove half-written files: %w", err)
		}
	}
	return nil
}

// removeHalfWritten looks into a directory, and into as many levels of directories below it.
func removeHalfWritten(ctx context.Context, h *host.Host, directory string, levels int) error {
	names, err := h.Files.List(ctx, directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		below := path.Join(directory, name)
		if strings.HasPrefix(name, host.TempPrefix) {
			if err := h.Files.Remove(ctx, below); err != nil {
				return err
			}
			continue
		}
		if levels == 0 {
			continue
		}
		info, err := h.Files.Stat(ctx, below)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode.IsDir() {
			continue
		}
		if err == nil {
			err = removeHalfWritten(ctx, h, below, levels-1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
