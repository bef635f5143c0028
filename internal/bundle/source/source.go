// Package source turns the name of an image into its checked manifest and blobs, out of an OCI image layout or a registry.
// Used by bundle/pack.
package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// maxJSON bounds what is read into memory: manifests, indexes and configs are far smaller. In bytes.
const maxJSON = 8 << 20

// Source is where images come from.
type Source struct {
	origin   origin
	blobs    *store
	platform Platform
}

// Platform is what the images are to be made for.
type Platform struct {
	OS string
	// Architecture is as in GOARCH.
	Architecture string
}

// String is as in linux/amd64.
func (p Platform) String() string { return p.OS + "/" + p.Architecture }

// Image is an image for one platform. All that it consists of was checked against its digest.
type Image struct {
	// Name is the image's in the image vector.
	Name string
	// Reference is where it came from, as repository:tag.
	Reference string
	// Descriptor is that of its manifest, without annotations.
	Descriptor v1.Descriptor
	// RawManifest and RawConfig are those bytes that the digests are of.
	RawManifest, RawConfig []byte
	Manifest               *v1.Manifest
	Config                 *v1.ConfigFile

	blobs *store
}

// Open opens a layer as it is stored, compressed or not.
func (i *Image) Open(layer v1.Hash) (io.ReadCloser, error) { return i.blobs.open(layer) }

// origin is what layouts and registries differ in.
type origin interface {
	// find resolves the name of an image to a manifest, or an index of manifests for several platforms.
	find(ctx context.Context, name string) (found, error)
	// open opens a blob or manifest of the image. It need not check it.
	open(ctx context.Context, name string, blob v1.Descriptor) (io.ReadCloser, error)
	// download returns what brings a blob to this disk; nil where all of them are on it.
	download(name string, blob v1.Descriptor) download
	// advice says what to do about an error of this origin.
	advice(name string, err error) string
}

// found is what a name stands for.
type found struct {
	reference  string // repository:tag
	descriptor v1.Descriptor
}

// Fetch returns the named image; its blobs are on this disk then. What is there already is not fetched again, so it can be
// called once more after a failure. Any number of calls may run at the same time.
func (s *Source) Fetch(ctx context.Context, name string) (*Image, error) {
	image, err := s.fetch(ctx, name)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, s.failed(name, err)
	}
	return image, nil
}

// References says what repository and tag each name has where the images come from. No image is fetched.
func (s *Source) References(ctx context.Context, names []string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range names {
		at, err := s.origin.find(ctx, name)
		if err != nil {
			return nil, s.failed(name, err)
		}
		out[name] = at.reference
	}
	return out, nil
}

// failed says what to do about an error of an image.
func (s *Source) failed(name string, err error) error {
	out := fault.New(fault.ImageSource, "fetch image %s: %w", name, err)
	if advice := s.origin.advice(name, err); advice != "" {
		out = out.Mend("%s", advice)
	}
	return out
}

func (s *Source) fetch(ctx context.Context, name string) (*Image, error) {
	at, err := s.origin.find(ctx, name)
	if err != nil {
		return nil, err
	}
	image := &Image{Name: name, Reference: at.reference, blobs: s.blobs}
	if image.Descriptor, err = s.resolve(ctx, name, at.descriptor); err != nil {
		return nil, err
	}
	if image.RawManifest, err = s.read(ctx, name, image.Descriptor); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(image.RawManifest, &image.Manifest); err != nil {
		return nil, fmt.Errorf("decode its manifest: %w", err)
	}
	if image.RawConfig, err = s.read(ctx, name, image.Manifest.Config); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(image.RawConfig, &image.Config); err != nil {
		return nil, fmt.Errorf("decode its config: %w", err)
	}
	if made := (Platform{image.Config.OS, image.Config.Architecture}); made != s.platform {
		return nil, foreign(s.platform, made.String())
	}
	for _, layer := range image.Manifest.Layers {
		if err := s.blobs.ensure(ctx, layer, s.origin.download(name, layer)); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// resolve finds the manifest for the platform.
func (s *Source) resolve(ctx context.Context, name string, descriptor v1.Descriptor) (v1.Descriptor, error) {
	if descriptor.MediaType.IsIndex() {
		raw, err := s.read(ctx, name, descriptor)
		if err != nil {
			return v1.Descriptor{}, err
		}
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return v1.Descriptor{}, fmt.Errorf("decode its index: %w", err)
		}
		if descriptor, err = s.platform.pick(index.Manifests); err != nil {
			return v1.Descriptor{}, err
		}
	}
	if !descriptor.MediaType.IsImage() {
		return v1.Descriptor{}, fmt.Errorf("%s is a %q, not an image", descriptor.Digest, descriptor.MediaType)
	}
	// What others said about the image is not of this bundle.
	return v1.Descriptor{MediaType: descriptor.MediaType, Size: descriptor.Size, Digest: descriptor.Digest}, nil
}

// pick returns the manifest for the platform; one that does not say what it is for counts when it is the only one.
func (p Platform) pick(manifests []v1.Descriptor) (v1.Descriptor, error) {
	var others []string
	for _, one := range manifests {
		switch made := one.Platform; {
		case made == nil:
		case Platform{made.OS, made.Architecture} == p:
			return one, nil
		default:
			others = append(others, made.String())
		}
	}
	if len(manifests) == 1 && len(others) == 0 {
		return manifests[0], nil
	}
	slices.Sort(others)
	return v1.Descriptor{}, foreign(p, slices.Compact(others)...)
}

var errForeign = errors.New("the bundle is to be for another platform")

func foreign(want Platform, made ...string) error {
	return fmt.Errorf("it is made for %s: %w, %s", strings.Join(made, ", "), errForeign, want)
}

// read reads a small blob and checks it.
func (s *Source) read(ctx context.Context, name string, blob v1.Descriptor) ([]byte, error) {
	if blob.Size > maxJSON {
		return nil, fmt.Errorf("manifest or config %s has %d bytes, more than %d", blob.Digest, blob.Size, maxJSON)
	}
	content, err := s.origin.open(ctx, name, blob)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := errors.Join(copyChecked(ctx, &out, content, blob), content.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
