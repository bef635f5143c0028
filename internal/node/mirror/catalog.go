package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	// maxManifest bounds what is read into memory, in bytes; registries take no larger ones either.
	maxManifest = 4 << 20
	// maxKnown bounds how many manifests are remembered.
	maxKnown = 1024
)

// part is something that an image consists of.
type part struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
}

// manifest is a manifest or an index.
type manifest struct {
	part
	children []part // manifests
	content  []part // config and layers
}

// catalog knows what belongs to which image.
type catalog struct {
	images  Images
	content host.Content

	mu    sync.Mutex
	known map[string]manifest // by digest: what it stands for never changes
}

func newCatalog(images Images, content host.Content) *catalog {
	return &catalog{images: images, content: content, known: map[string]manifest{}}
}

// find finds what is asked for among the pinned images. Whatever no such image of the repository consists of is refused.
func (c *catalog) find(ctx context.Context, asked question) (part, error) {
	images, err := c.images.List(ctx)
	if err != nil {
		return part{}, err
	}
	var none error = refuse(http.StatusNotFound, codeNameUnknown, "this node has no image of "+asked.repository)
	var unreadable error
	for _, image := range images {
		version, ok := asked.has(image.Name)
		if !ok || !image.Pinned {
			continue
		}
		none = refuse(http.StatusNotFound, codeBlobUnknown, "no image of "+asked.repository+" on this node has this content")
		if asked.manifest {
			none = refuse(http.StatusNotFound, codeManifestUnknown, "this node does not have this image of "+asked.repository)
		}
		if asked.tag != "" && version != ":"+asked.tag {
			continue
		}
		found, err := c.within(ctx, image.Digest, asked)
		if err == nil {
			return found, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			unreadable = err
		}
	}
	if unreadable != nil {
		return part{}, unreadable
	}
	return part{}, none
}

// within finds what is asked for in the image with this manifest or index; fs.ErrNotExist when it is not in it. A manifest of
// another platform may be missing with all that it refers to.
func (c *catalog) within(ctx context.Context, digest string, asked question) (part, error) {
	found, err := c.manifest(ctx, digest)
	if err != nil {
		return part{}, err
	}
	if asked.tag != "" || found.Digest == asked.digest {
		return asked.as(found.part), nil
	}
	for _, one := range found.content {
		if one.Digest == asked.digest && !asked.manifest {
			return asked.as(one), nil
		}
	}
	for _, child := range found.children {
		found, err := c.within(ctx, child.Digest, asked)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
	}
	return part{}, fs.ErrNotExist
}

// as gives a blob the type that all blobs have.
func (q question) as(found part) part {
	if !q.manifest {
		found.MediaType = "application/octet-stream"
	}
	return found
}

// manifest reads a manifest or index; one that is not there is fs.ErrNotExist.
func (c *catalog) manifest(ctx context.Context, digest string) (manifest, error) {
	c.mu.Lock()
	found, ok := c.known[digest]
	c.mu.Unlock()
	if ok {
		return found, nil
	}
	raw, err := c.read(ctx, digest)
	if err != nil {
		return manifest{}, err
	}
	found, err = decode(digest, raw)
	if err != nil {
		return manifest{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	c.known[digest] = found
	return found, nil
}

func (c *catalog) read(ctx context.Context, digest string) ([]byte, error) {
	content, err := c.content.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if content.Size() > maxManifest {
		return nil, fmt.Errorf("manifest %s has %d bytes, more than %d", digest, content.Size(), maxManifest)
	}
	return io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
}

func decode(digest string, raw []byte) (manifest, error) {
	var read struct {
		MediaType string `json:"mediaType"`
		Manifests []part `json:"manifests"`
		Config    *part  `json:"config"`
		Layers    []part `json:"layers"`
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return manifest{}, fmt.Errorf("read manifest %s: %w", digest, err)
	}
	out := manifest{part: part{digest, read.MediaType}, children: read.Manifests, content: read.Layers}
	if read.Config != nil {
		out.content = append(out.content, *read.Config)
	}
	if out.MediaType == "" { // optional in the OCI format
		out.MediaType = ocispec.MediaTypeImageManifest
		if len(read.Manifests) > 0 {
			out.MediaType = ocispec.MediaTypeImageIndex
		}
	}
	return out, nil
}
