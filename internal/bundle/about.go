package bundle

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Gardenadm is the version of the program that made the bundle; "" when it does not say.
func (c *Contents) Gardenadm() string { return c.index.Annotations[AnnotationGardenadm] }

// Kubernetes is the version that the bundle is for, without v; "" when it does not say.
func (c *Contents) Kubernetes() string { return c.index.Annotations[AnnotationKubernetes] }

// Platform is what the images are made for, as in linux/amd64; "" when it does not say.
func (c *Contents) Platform() string { return c.index.Annotations[AnnotationPlatform] }

// Signed says that there is a signature, not that it holds: that is told by Options.Key.
func (c *Contents) Signed() bool { return c.signature != nil }

// Metadata returns a document about the bundle by its title; one that it has not is fs.ErrNotExist.
func (c *Contents) Metadata(title string) ([]byte, error) {
	document, ok := c.documents[title]
	if !ok {
		return nil, fmt.Errorf("find document %s in bundle %s: %w", title, c.Path, fs.ErrNotExist)
	}
	raw, err := c.fetch(document)
	if err != nil {
		return nil, fmt.Errorf("read %s of bundle %s: %w", title, c.Path, err)
	}
	return raw, nil
}

// Documents are the titles of the documents about the bundle, in order.
func (c *Contents) Documents() []string { return slices.Sorted(maps.Keys(c.documents)) }

// Size is how many bytes all blobs of the bundle have, compressed as they are.
func (c *Contents) Size() int64 { return sum(c.blobs()) }

// SizeOf is how many bytes the layers of an image have, compressed as they are; other images may share them.
func (c *Contents) SizeOf(image Image) int64 { return sum(c.layers[image.Digest]) }

func sum(blobs []v1.Descriptor) int64 {
	var out int64
	for _, blob := range blobs {
		out += blob.Size
	}
	return out
}

// Fits is nil when the bundle has all the named images and is for this version of Kubernetes (without v), as far as it says.
// It is a fault with code UnfitBundle that names all that is missing.
func (c *Contents) Fits(kubernetes string, images []string) error {
	var wrong []string
	if has := c.Kubernetes(); has != "" && has != kubernetes {
		wrong = append(wrong, fmt.Sprintf("it is for Kubernetes %s instead of %s", has, kubernetes))
	}
	vector := c.Vector()
	missing := slices.DeleteFunc(slices.Sorted(slices.Values(images)), func(name string) bool { _, ok := vector[name]; return ok })
	if len(missing) > 0 {
		wrong = append(wrong, "it lacks "+strings.Join(slices.Compact(missing), ", "))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.UnfitBundle, "bundle %s: %s", c.Path, strings.Join(wrong, "; "))
}
