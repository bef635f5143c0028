package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// SortImages puts images in the order of Images.List.
func SortImages(images []Image) {
	slices.SortFunc(images, func(a, b Image) int { return cmp.Compare(a.Name, b.Name) })
}

func (s *imageStore) Import(ctx context.Context, image Image, blobs Blobs) error {
	// Layers whose snapshots exist are passed over.
	unpack := func(ctx context.Context, image containerd.Image) error { return image.Unpack(ctx, snapshotter) }
	if err := s.add(ctx, image, blobs, unpack); err != nil {
		return fmt.Errorf("import image %s: %w", image.Name, err)
	}
	return nil
}

func (s *imageStore) Store(ctx context.Context, image Image, blobs Blobs) error {
	packed := func(context.Context, containerd.Image) error { return nil }
	if err := s.add(ctx, image, blobs, packed); err != nil {
		return fmt.Errorf("store image %s: %w", image.Name, err)
	}
	return nil
}

// add takes the content, makes it ready for use and records it.
func (s *imageStore) add(ctx context.Context, image Image, blobs Blobs, makeReady func(context.Context, containerd.Image) error) (err error) {
	root, err := digest.Parse(image.Digest)
	if err != nil {
		return fmt.Errorf("read digest %q: %w", image.Digest, err)
	}
	names, err := ImageNames(image.Name, image.Digest)
	if err != nil {
		return err
	}
	client, err := s.connect()
	if err != nil {
		return err
	}
	// Nothing refers to the content until the record is made; the lease keeps garbage collection away from it meanwhile,
	// also from content that is there already, because each blob is asked for under the lease. One that is left behind
	// by a kill expires by itself after a day.
	ctx, release, err := client.WithLease(ctx)
	if err != nil {
		return fmt.Errorf("lease content: %w", err)
	}
	defer func() { err = errors.Join(err, release(context.WithoutCancel(ctx))) }()

	lease, _ := leases.FromContext(ctx)
	parts := contentImport{store: client.ContentStore(), lease: lease, blobs: blobs, here: platforms.Default()}
	target, err := parts.root(ctx, root)
	if err != nil {
		return err
	}
	if err := parts.tree(ctx, target); err != nil {
		return err
	}
	record := images.Image{Name: names[0], Target: target, Labels: map[string]string{managedLabel: managedValue, ownerLabel: ownerValue}}
	if image.User {
		record.Labels[ownerLabel] = ownerUser
	}
	if image.Pinned {
		record.Labels[pinnedLabel] = pinnedValue
	}
	if err := makeReady(ctx, containerd.NewImageWithPlatform(client, record, parts.here)); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	for _, name := range names {
		record.Name = name
		if err := putRecord(ctx, client.ImageService(), record); err != nil {
			return fmt.Errorf("record as %s: %w", name, err)
		}
	}
	return nil
}

// putRecord makes the record be so. Only a change is written, because each write is an event for the CRI plugin.
func putRecord(ctx context.Context, store images.Store, record images.Image) error {
	there, err := store.Get(ctx, record.Name)
	if errdefs.IsNotFound(err) {
		_, err = store.Create(ctx, record)
		return err
	}
	if err != nil {
		return err
	}
	changed := []string{"target"}
	for _, label := range []string{managedLabel, pinnedLabel, ownerLabel} {
		if there.Labels[label] != record.Labels[label] {
			changed = append(changed, "labels."+label)
		}
	}
	if len(changed) == 1 && there.Target.Digest == record.Target.Digest {
		return nil
	}
	_, err = store.Update(ctx, record, changed...)
	return err
}

// contentImport fills the content store with one image.
type contentImport struct {
	store content.Store
	lease string
	blobs Blobs
	here  platforms.MatchComparer
}

// root takes the image's manifest or index, of which only the digest is known, and describes it.
func (c contentImport) root(ctx context.Context, root digest.Digest) (ocispec.Descriptor, error) {
	target := ocispec.Descriptor{Digest: root}
	if err := c.blob(ctx, target); err != nil {
		return target, err
	}
	data, err := content.ReadBlob(ctx, c.store, target)
	if err != nil {
		return target, fmt.Errorf("read %s: %w", root, err)
	}
	var kind struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return target, fmt.Errorf("read manifest %s: %w", root, err)
	}
	target.Size, target.MediaType = int64(len(data)), kind.MediaType
	if target.MediaType == "" { // optional in the OCI format
		target.MediaType = ocispec.MediaTypeImageManifest
		if len(kind.Manifests) > 0 {
			target.MediaType = ocispec.MediaTypeImageIndex
		}
	}
	if !images.IsManifestType(target.MediaType) && !images.IsIndexType(target.MediaType) {
		return target, fmt.Errorf("read manifest %s: %q is not a manifest", root, target.MediaType)
	}
	return target, nil
}

// tree takes what the target refers to and labels it with its children, which garbage collection goes by.
func (c contentImport) tree(ctx context.Context, target ocispec.Descriptor) error {
	take := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		err := c.blob(ctx, desc)
		if errors.Is(err, fs.ErrNotExist) && c.foreign(desc) {
			return nil, images.ErrSkipDesc
		}
		return nil, err
	})
	label := images.SetChildrenLabels(c.store, images.ChildrenHandler(c.store))
	return images.Walk(ctx, images.Handlers(take, label), target)
}

// foreign is a manifest of an index that this machine does not run.
func (c contentImport) foreign(desc ocispec.Descriptor) bool {
	return desc.Platform != nil && !c.here.Match(*desc.Platform)
}

// blob takes one blob unless it is there. The writer verifies size and digest when it commits.
func (c contentImport) blob(ctx context.Context, desc ocispec.Descriptor) error {
	// Each import writes under a name of its own: going on where a failed or killed one stopped would spare little, because
	// all is read and hashed again, and fail for ever if what it left is not the blob's beginning. That goes with its lease.
	ref := "gardenadm-" + c.lease + "-" + desc.Digest.String()
	writer, err := content.OpenWriter(ctx, c.store, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	defer writer.Close()
	reader, err := c.blobs.Blob(ctx, desc.Digest.String())
	if err != nil {
		return fmt.Errorf("take blob %s: %w", desc.Digest, err)
	}
	defer reader.Close()
	if err := content.Copy(ctx, writer, &contextReader{ctx, reader}, desc.Size, desc.Digest); err != nil {
		return fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	return nil
}
