package hosttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// imageDoor is the door to the fake's containerd. It is ready at all times; FailOn("ready", err) makes it not.
type imageDoor struct{ fake *Fake }

func (d imageDoor) Ready(ctx context.Context) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	return d.fake.look(ctx, "ready")
}

func (d imageDoor) Import(ctx context.Context, image host.Image, blobs host.Blobs) error {
	return d.add(ctx, "import", image, blobs)
}

// Store differs from Import in the log alone: the fake unpacks nothing.
func (d imageDoor) Store(ctx context.Context, image host.Image, blobs host.Blobs) error {
	return d.add(ctx, "store", image, blobs)
}

func (d imageDoor) add(ctx context.Context, verb string, image host.Image, blobs host.Blobs) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	names, err := host.ImageNames(image.Name, image.Digest)
	if err != nil {
		return fmt.Errorf("%s image %s: %w", verb, image.Name, err)
	}
	line := verb + " " + image.Name + " " + short(image.Digest)
	if image.Pinned {
		line += " pinned"
	}
	if err := d.fake.change(ctx, line); err != nil {
		return err
	}
	if err := d.take(ctx, image.Digest, blobs, "manifest"); err != nil {
		return fmt.Errorf("%s image %s: %w", verb, image.Name, err)
	}
	for _, name := range names {
		d.fake.images[name] = host.Image{Name: name, Digest: image.Digest, Pinned: image.Pinned, User: image.User}
	}
	return nil
}

// take takes a blob and, of a manifest or index, all that it refers to.
func (d imageDoor) take(ctx context.Context, digest string, blobs host.Blobs, kind string) error {
	data, there := d.fake.blobs[digest]
	if !there {
		var err error
		if data, err = verified(ctx, digest, blobs); err != nil {
			return err
		}
		d.fake.blobs[digest] = data
	}
	if kind != "manifest" {
		return nil
	}
	type descriptor struct {
		Digest   string
		Platform *struct{ OS, Architecture string }
	}
	var manifest struct {
		Manifests, Layers []descriptor
		Config            *descriptor
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return fmt.Errorf("read manifest %s: %w", digest, err)
	}
	for _, child := range manifest.Manifests {
		err := d.take(ctx, child.Digest, blobs, "manifest")
		foreign := child.Platform != nil && (child.Platform.OS != "linux" || child.Platform.Architecture != d.fake.facts.Architecture)
		if err != nil && !(foreign && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	if manifest.Config != nil {
		manifest.Layers = append(manifest.Layers, *manifest.Config)
	}
	for _, child := range manifest.Layers {
		if err := d.take(ctx, child.Digest, blobs, "content"); err != nil {
			return err
		}
	}
	return nil
}

func verified(ctx context.Context, digest string, blobs host.Blobs) ([]byte, error) {
	reader, err := blobs.Blob(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("take blob %s: %w", digest, err)
	}
	defer reader.Close()
	data, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("take blob %s: %w", digest, err)
	}
	if found := "sha256:" + sum(data); found != digest {
		return nil, fmt.Errorf("store blob %s: its content has digest %s", digest, found)
	}
	return data, nil
}

func (d imageDoor) List(ctx context.Context) ([]host.Image, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "images"); err != nil {
		return nil, err
	}
	images := slices.Collect(maps.Values(d.fake.images))
	host.SortImages(images)
	return images, nil
}

func (d imageDoor) Release(ctx context.Context, keep []host.Image) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	kept, err := host.RecordNames(keep)
	if err != nil {
		return fmt.Errorf("release images: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(d.fake.images)) {
		image := d.fake.images[name]
		if kept[name] || !image.Pinned {
			continue
		}
		if err := d.fake.change(ctx, "release "+name); err != nil {
			return err
		}
		image.Pinned = false
		d.fake.images[name] = image
	}
	return nil
}
