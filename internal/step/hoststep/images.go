package hoststep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/distribution/reference"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
)

// ImportImages brings the images that pods run from the bundle into containerd, pinned.
func ImportImages(ctx context.Context, h *host.Host, b *bundle.Bundle) error {
	for _, one := range wantedOf(b.Contents, bundle.UsePod) {
		if err := bring(ctx, h, b, one, host.Image{Pinned: true}); err != nil {
			return err
		}
	}
	return nil
}

// Imported counts the images of a bundle that a node is to have.
type Imported struct {
	// There were before, New were brought.
	There, New int
}

// KeepImages has all images of a bundle in containerd, pinned: also those from which the programs of hosts are taken, unless this
// is a worker, because a control plane node serves them to others. The bundle is unpacked only when one is missing. What older
// bundles brought is released, but for what this node is configured to have and what a person added.
func KeepImages(ctx context.Context, h *host.Host, of *bundle.Contents, unpack Unpack) (Imported, error) {
	return keepImages(ctx, h, of, unpack, host.Image{Pinned: true})
}

// AddImages is KeepImages for a person: images that the node's configuration does not list stay pinned, whatever it will list, and
// nothing is released but other versions of the images.
func AddImages(ctx context.Context, h *host.Host, of *bundle.Contents, unpack Unpack) (Imported, error) {
	return keepImages(ctx, h, of, unpack, host.Image{Pinned: true, User: true})
}

// Unpack makes what is in a bundle readable.
type Unpack func(context.Context) (*bundle.Bundle, error)

func keepImages(ctx context.Context, h *host.Host, of *bundle.Contents, unpack Unpack, as host.Image) (Imported, error) {
	configured, err := configuredImages(ctx, h)
	if err != nil {
		return Imported{}, err
	}
	uses := []bundle.Use{bundle.UsePod, bundle.UseHost}
	if configured != nil && !slices.ContainsFunc(configured, func(one image.Wanted) bool { return one.Packed }) {
		uses = uses[:1]
	}
	all := wantedOf(of, uses...)
	missing, err := mirror.Missing(ctx, h.Images, all)
	if err != nil {
		return Imported{}, err
	}
	if len(missing) > 0 {
		from, err := unpack(ctx)
		if err != nil {
			return Imported{}, err
		}
		for _, one := range missing {
			mark := as
			mark.User = as.User && !slices.ContainsFunc(configured, func(other image.Wanted) bool { return other.Image == one.Image })
			if err := bring(ctx, h, from, one, mark); err != nil {
				return Imported{}, err
			}
		}
	}
	if err := release(ctx, h, all, configured, as); err != nil {
		return Imported{}, err
	}
	return Imported{There: len(all) - len(missing), New: len(missing)}, nil
}

// release unpins other versions of the images. Of the rest stays what a person added, and to a person's own bundle, which is not the whole
// cluster's, all of it.
func release(ctx context.Context, h *host.Host, all, configured []image.Wanted, as host.Image) error {
	var keep []host.Image
	repositories := map[string]bool{}
	for _, one := range all {
		repositories[repository(one.Image)] = true
	}
	for _, one := range slices.Concat(all, configured) {
		keep = append(keep, host.Image{Name: one.Image, Digest: one.Digest, Pinned: true})
	}
	have, err := h.Images.List(ctx)
	if err != nil {
		return err
	}
	for _, one := range have {
		if one.Pinned && (one.User || as.User) && !repositories[repository(one.Name)] {
			keep = append(keep, one)
		}
	}
	return h.Images.Release(ctx, keep)
}

// repository is a reference without tag and digest, in full; the reference as it is when it is none.
func repository(of string) string {
	named, err := reference.ParseNormalizedNamed(of)
	if err != nil {
		return of
	}
	return named.Name()
}

// configuredImages are those that the node's configuration lists; nil for a machine that is no node yet.
func configuredImages(ctx context.Context, h *host.Host) ([]image.Wanted, error) {
	raw, err := h.Files.Read(ctx, layout.FileImages)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return image.DecodeWanted(raw)
}

func wantedOf(contents *bundle.Contents, uses ...bundle.Use) []image.Wanted {
	var out []image.Wanted
	for _, one := range contents.Images(uses...) {
		out = append(out, image.Wanted{Image: one.Pinned(), Digest: one.Digest, When: image.Join, Packed: one.Use == bundle.UseHost})
	}
	return out
}

// bring imports the image from the bundle, marked as said; of one for hosts nobody makes a container, so it stays packed.
func bring(ctx context.Context, h *host.Host, from host.Blobs, one image.Wanted, as host.Image) error {
	take := h.Images.Import
	if one.Packed {
		take = h.Images.Store
	}
	as.Name, as.Digest = one.Image, one.Digest
	if err := take(ctx, as, from); err != nil {
		return fmt.Errorf("bring image %s: %w", one.Image, err)
	}
	return nil
}
