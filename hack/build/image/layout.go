package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// The index says of every image what it is called, in the image vector and in full, and what it is for.
const (
	referenceAnnotation = "org.opencontainers.image.ref.name"
	nameAnnotation      = "dev.gardenadm.image.name"
	useAnnotation       = "dev.gardenadm.image.use"
)

const layoutFile = "oci-layout"

// WriteLayout puts an OCI image layout with these images, and nothing else, in place of what is at dir.
// Readers see the old one or the new one.
func WriteLayout(dir string, images []*Image) error {
	if err := checkTarget(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("write image layout: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".new-")
	if err != nil {
		return fmt.Errorf("write image layout: %w", err)
	}
	defer os.RemoveAll(work)
	if err := fillLayout(work, images); err != nil {
		return fmt.Errorf("write image layout: %w", err)
	}
	if err := replace(work, dir); err != nil {
		return fmt.Errorf("publish image layout: %w", err)
	}
	return nil
}

// checkTarget keeps a mistyped directory from being replaced.
func checkTarget(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write image layout: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, layoutFile)); err != nil {
		return fmt.Errorf("write image layout: %s is neither empty nor an image layout", dir)
	}
	return nil
}

func fillLayout(dir string, images []*Image) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := errors.Join(os.MkdirAll(blobs, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return err
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, image := range images {
		entry, err := writeImage(blobs, image)
		if err != nil {
			return fmt.Errorf("image %s: %w", image.Name, err)
		}
		index.Manifests = append(index.Manifests, entry)
	}
	sort.Slice(index.Manifests, func(i, j int) bool {
		return index.Manifests[i].Annotations[nameAnnotation] < index.Manifests[j].Annotations[nameAnnotation]
	})
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "index.json"), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, layoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`+"\n"), 0o644),
	)
}

func writeImage(blobs string, image *Image) (v1.Descriptor, error) {
	for _, layer := range image.Layers {
		digest, err := layer.Digest()
		if err != nil {
			return v1.Descriptor{}, err
		}
		if err := linkOrCopy(layer.Path(), filepath.Join(blobs, digest.Hex)); err != nil {
			return v1.Descriptor{}, err
		}
	}
	config, errConfig := image.RawConfigFile()
	configDigest, errConfigDigest := image.ConfigName()
	manifest, errManifest := image.RawManifest()
	digest, errDigest := image.Digest()
	if err := errors.Join(errConfig, errConfigDigest, errManifest, errDigest); err != nil {
		return v1.Descriptor{}, err
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(blobs, configDigest.Hex), config, 0o644),
		os.WriteFile(filepath.Join(blobs, digest.Hex), manifest, 0o644),
	)
	return v1.Descriptor{
		MediaType: types.OCIManifestSchema1,
		Size:      int64(len(manifest)),
		Digest:    digest,
		Platform:  &v1.Platform{OS: image.Platform.OS, Architecture: image.Platform.Arch},
		Annotations: map[string]string{
			referenceAnnotation: image.Reference,
			nameAnnotation:      image.Name,
			useAnnotation:       string(image.Use),
		},
	}, err
}

// linkOrCopy shares the cache's file where it can; images share layers, so the target may be there already.
func linkOrCopy(source, target string) error {
	err := os.Link(source, target)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// replace puts fresh at dir in one step; what was there ends up at fresh, where the caller removes it.
func replace(fresh, dir string) error {
	err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		return os.Rename(fresh, dir)
	}
	return err
}
