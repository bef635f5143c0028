// Package bundle turns an OCI image layout directory into images to import and files to lay on a host.
// Used by init and by the node agent, which need nothing but the local disk then.
package bundle

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Annotations of an image's descriptor in index.json.
const (
	AnnotationReference = "org.opencontainers.image.ref.name"
	AnnotationName      = "dev.gardenadm.image.name"
	AnnotationUse       = "dev.gardenadm.image.use"
)

// Use says what an image is for.
type Use string

const (
	// UsePod: containers are made of it, so it is imported into containerd.
	UsePod Use = "pod"
	// UseHost: only the host's programs are taken from it.
	UseHost Use = "host"
)

// Bundle is an opened OCI image layout directory.
type Bundle struct {
	dir    string
	images []Image                    // in order of name
	blobs  map[string]v1.Descriptor   // every blob that an image refers to, by digest
	layers map[string][]v1.Descriptor // by digest of the manifest, lowest first
}

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

// Open reads the layout in dir and checks that it is whole and made for the architecture (as in GOARCH):
// every blob is there with its size. Digests are verified when blobs are read.
func Open(dir, architecture string) (*Bundle, error) {
	b := &Bundle{dir: dir, blobs: map[string]v1.Descriptor{}, layers: map[string][]v1.Descriptor{}}
	if err := b.open(architecture); err != nil {
		return nil, fault.New(fault.BadBundle, "open bundle %s: %w", dir, err)
	}
	return b, nil
}

func (b *Bundle) open(architecture string) error {
	index, err := b.readIndex()
	if err != nil {
		return err
	}
	seen := map[string]string{}
	for _, descriptor := range index.Manifests {
		image, err := newImage(descriptor)
		if err != nil {
			return err
		}
		for _, key := range []string{"name " + image.Name, "reference " + image.Reference} {
			if other, ok := seen[key]; ok {
				return fmt.Errorf("index.json: %s is used by %s and %s: pack the bundle anew", key, other, image.Digest)
			}
			seen[key] = image.Digest
		}
		if err := b.addImage(descriptor, architecture); err != nil {
			return fmt.Errorf("image %s: %w", image.Reference, err)
		}
		b.images = append(b.images, image)
	}
	slices.SortFunc(b.images, func(x, y Image) int { return cmp.Compare(x.Name, y.Name) })
	return nil
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
	case out.Reference == "" || strings.Contains(out.Reference, "@"):
		return out, fmt.Errorf("index.json: image %s: annotation %s must be repository:tag, not %q", out.Name, AnnotationReference, out.Reference)
	case out.Use != UsePod && out.Use != UseHost:
		return out, fmt.Errorf("index.json: image %s: annotation %s must be %q or %q, not %q", out.Name, AnnotationUse, UsePod, UseHost, out.Use)
	}
	return out, nil
}

// Vector maps the names of all images to references with tag and digest.
func (b *Bundle) Vector() image.Vector {
	out := image.Vector{}
	for _, image := range b.images {
		out[image.Name] = image.Pinned()
	}
	return out
}

// Images returns the images with this use, in order of name.
func (b *Bundle) Images(use Use) []Image {
	return slices.DeleteFunc(slices.Clone(b.images), func(i Image) bool { return i.Use != use })
}

// Digest resolves a reference (repository:tag, with or without digest, or repository@digest) to the digest of its manifest.
func (b *Bundle) Digest(_ context.Context, reference string) (string, error) {
	name, digest, pinned := strings.Cut(reference, "@")
	for _, image := range b.images {
		if pinned && image.Digest == digest && repository(name) == repository(image.Reference) || !pinned && image.Reference == name {
			return image.Digest, nil
		}
	}
	return "", fmt.Errorf("find image %s in bundle %s: %w", reference, filepath.Base(b.dir), fs.ErrNotExist)
}

// repository is a reference without tag.
func repository(reference string) string {
	if i := strings.LastIndexByte(reference, ':'); i > strings.LastIndexByte(reference, '/') {
		return reference[:i]
	}
	return reference
}
