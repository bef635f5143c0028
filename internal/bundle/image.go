package bundle

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Image is an image of a bundle.
type Image struct {
	// Name is the image's name in the vector, for example kube-apiserver.
	Name string
	// Reference is what it was packed as, for example bundle.gardenadm.dev/kube-apiserver:v1.36.3.
	Reference string
	// Digest is that of its manifest.
	Digest string
	Use    Use
}

// Pinned is the reference that pods and OperatingSystemConfigs use: repository:tag@digest.
func (i Image) Pinned() string { return i.Reference + "@" + i.Digest }

// Imports are the records that containerd needs to find the image under its Reference and under Pinned:
// of a reference with tag and digest its CRI plugin drops the tag and looks for repository@digest.
func (i Image) Imports() []host.Image {
	return []host.Image{
		{Name: i.Reference, Digest: i.Digest, Pinned: true},
		{Name: repository(i.Reference) + "@" + i.Digest, Digest: i.Digest, Pinned: true},
	}
}

func newImage(descriptor v1.Descriptor) (Image, error) {
	out := Image{
		Name:      descriptor.Annotations[AnnotationName],
		Reference: descriptor.Annotations[AnnotationReference],
		Digest:    descriptor.Digest.String(),
		Use:       Use(descriptor.Annotations[AnnotationUse]),
	}
	switch {
	case !descriptor.MediaType.IsImage():
		return out, fmt.Errorf("index.json: %s is a %q, not an image for one platform: pack the bundle anew", out.Digest, descriptor.MediaType)
	case out.Name == "":
		return out, fmt.Errorf("index.json: manifest %s lacks annotation %s: this is not a gardenadm bundle", out.Digest, AnnotationName)
	case out.Use == UseMetadata:
		return out, nil
	case out.Reference == "" || strings.Contains(out.Reference, "@"):
		return out, fmt.Errorf("index.json: image %s: annotation %s must be repository:tag, not %q", out.Name, AnnotationReference, out.Reference)
	case out.Use != UsePod && out.Use != UseHost:
		return out, fmt.Errorf("index.json: image %s: annotation %s must be %q or %q, not %q", out.Name, AnnotationUse, UsePod, UseHost, out.Use)
	}
	return out, nil
}

// Vector maps the names of all images to references with tag and digest.
func (c *Contents) Vector() image.Vector {
	out := image.Vector{}
	for _, image := range c.images {
		out[image.Name] = image.Pinned()
	}
	return out
}

// Images returns the images with one of these uses, or without any named all of them, in order of name.
func (c *Contents) Images(uses ...Use) []Image {
	return slices.DeleteFunc(slices.Clone(c.images), func(i Image) bool { return len(uses) > 0 && !slices.Contains(uses, i.Use) })
}

// Digest resolves a reference (repository:tag, with or without digest, or repository@digest) to the digest of its manifest.
func (c *Contents) Digest(_ context.Context, reference string) (string, error) {
	name, digest, pinned := strings.Cut(reference, "@")
	for _, image := range c.images {
		if pinned && image.Digest == digest && repository(name) == repository(image.Reference) || !pinned && image.Reference == name {
			return image.Digest, nil
		}
	}
	return "", fmt.Errorf("find image %s in bundle %s: %w", reference, filepath.Base(c.Path), fs.ErrNotExist)
}

// repository is a reference without tag.
func repository(reference string) string {
	if i := strings.LastIndexByte(reference, ':'); i > strings.LastIndexByte(reference, '/') {
		return reference[:i]
	}
	return reference
}
