package bundle

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
)

// maxMetadata bounds in bytes what all manifests, configs and documents of a file take in memory.
const maxMetadata = 64 << 20

// verify reads a file once and checks every digest, size and place in it. Its metadata stays in memory.
func verify(ctx context.Context, path string, o Options) (*Contents, error) {
	var out *Contents
	err := stream(ctx, path, func(in *archive.Reader) (err error) {
		if out, err = newContents(path, in.Index, in.Signature, o.Key); err != nil {
			return err
		}
		if out.index.Annotations[AnnotationFormat] == "" {
			return fmt.Errorf("index.json lacks annotation %s: gardenadm bundle create did not make it", AnnotationFormat)
		}
		metadata, err := readMetadata(in, out.index.Manifests)
		if err != nil {
			return err
		}
		out.fetch = metadata.fetch
		if err := out.read(o.Architecture); err != nil {
			return err
		}
		if err := metadata.equals(out.metadata); err != nil {
			return err
		}
		return verifyRest(in, inOrder(out.rest))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// memory holds small blobs by digest.
type memory map[string][]byte

func (m memory) fetch(blob v1.Descriptor) ([]byte, error) {
	data, ok := m[blob.Digest.String()]
	if !ok {
		return nil, missing(blob)
	}
	return data, sized(blob, int64(len(data)))
}

// equals wants exactly these blobs.
func (m memory) equals(blobs map[string]v1.Descriptor) error {
	for _, blob := range inOrder(blobs) {
		if _, err := m.fetch(blob); err != nil {
			return err
		}
	}
	for _, digest := range slices.Sorted(maps.Keys(m)) {
		if _, ok := blobs[digest]; !ok {
			return unwanted(digest)
		}
	}
	return nil
}

// readMetadata reads blobs until all are there that the manifests refer to and that are needed to know the others.
func readMetadata(in *archive.Reader, manifests []v1.Descriptor) (memory, error) {
	out, left, last := memory{}, int64(maxMetadata), ""
	wanted := map[string]v1.Descriptor{}
	for _, manifest := range manifests {
		wanted[manifest.Digest.String()] = manifest
	}
	isManifest := maps.Clone(wanted)
	for len(wanted) > 0 {
		digest, size, err := in.Next()
		if err == io.EOF || err == nil && (digest.String() < last || size > min(maxJSON, left)) {
			return nil, missing(inOrder(wanted)[0])
		}
		if err != nil {
			return nil, err
		}
		last, left = digest.String(), left-size
		if out[last], err = io.ReadAll(in); err != nil {
			return nil, err
		}
		if descriptor, ok := isManifest[last]; ok {
			manifest := &v1.Manifest{}
			if err := decode(last, out[last], manifest); err != nil {
				return nil, err
			}
			metadata, _ := parts(descriptor, manifest)
			for _, blob := range metadata {
				wanted[blob.Digest.String()] = blob
			}
		}
		maps.DeleteFunc(wanted, func(digest string, _ v1.Descriptor) bool { _, there := out[digest]; return there })
	}
	return out, nil
}

// verifyRest wants exactly these blobs, in this order.
func verifyRest(in *archive.Reader, blobs []v1.Descriptor) error {
	for _, blob := range blobs {
		digest, size, err := in.Next()
		if err == io.EOF || err == nil && digest.String() > blob.Digest.String() {
			return missing(blob)
		}
		if err != nil {
			return err
		}
		if digest != blob.Digest {
			return unwanted(digest.String())
		}
		if err := sized(blob, size); err != nil {
			return err
		}
	}
	switch digest, _, err := in.Next(); err {
	case nil:
		return unwanted(digest.String())
	case io.EOF:
		return nil
	default:
		return err
	}
}

func missing(blob v1.Descriptor) error {
	return fmt.Errorf("blob %s is missing, or not in its place", blob.Digest)
}

func unwanted(digest string) error {
	return fmt.Errorf("blob %s belongs to no image, or is not in its place", digest)
}

func sized(blob v1.Descriptor, size int64) error {
	if size != blob.Size {
		return fmt.Errorf("blob %s has %d bytes instead of %d", blob.Digest, size, blob.Size)
	}
	return nil
}
