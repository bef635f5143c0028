package bundle

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/fault"
)

// Fixes that errors name.
const (
	fixCopy = "the bundle is incomplete or damaged: copy or unpack it again"
	fixArch = "use the bundle for this machine's architecture"
)

// maxJSON bounds in bytes what is read into memory at once: index, manifests, configs and documents are far smaller.
const maxJSON = 8 << 20

// Contents is what a bundle has, by its index and its manifests.
type Contents struct {
	// Path is the file or directory that the bundle was read from.
	Path string

	foreign   bool // other programs made it
	index     v1.IndexManifest
	raw       []byte                              // index.json
	signature []byte                              // index.json.sig; nil when there is none
	fetch     func(v1.Descriptor) ([]byte, error) // reads a small blob and verifies its digest
	images    []Image                             // in order of name
	layers    map[string][]v1.Descriptor          // by digest of the image's manifest, lowest first
	documents map[string]v1.Descriptor            // by title
	metadata  map[string]v1.Descriptor            // manifests, configs and documents, by digest
	rest      map[string]v1.Descriptor            // all other blobs, by digest
}

// newContents takes the index, the signature first. What the index refers to is read by read.
func newContents(path string, index, signed []byte, key *signature.Verifier) (*Contents, error) {
	c := &Contents{
		Path: path, raw: index, signature: signed,
		layers: map[string][]v1.Descriptor{}, documents: map[string]v1.Descriptor{}, metadata: map[string]v1.Descriptor{}, rest: map[string]v1.Descriptor{},
	}
	if key != nil {
		if signed == nil {
			return nil, fault.New(fault.BadSignature, "it is not signed")
		}
		if err := key.Verify(index, signed); err != nil {
			return nil, err
		}
	}
	if err := decode(archive.NameIndex, index, &c.index); err != nil {
		return nil, err
	}
	if format, ok := c.index.Annotations[AnnotationFormat]; ok && format != Format {
		return nil, fault.New(fault.BadBundle, "it has format %q, and this gardenadm reads %q only", format, Format).
			Mend("use the gardenadm that made it (%s), or make the bundle anew with this one", cmp.Or(c.Gardenadm(), "of unknown version"))
	}
	if len(c.index.Manifests) == 0 {
		return nil, fmt.Errorf("index.json: it lists no images: %s", fixCopy)
	}
	return c, nil
}

// read reads manifests and configs, and refuses what is not for the architecture ("" stands for any).
func (c *Contents) read(architecture string) error {
	if c.foreign = c.isForeign(); c.foreign {
		if err := c.adopt(architecture); err != nil {
			return err
		}
	}
	seen := map[string]string{}
	for _, descriptor := range c.index.Manifests {
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
		if err := c.add(image, descriptor, architecture); err != nil {
			return fmt.Errorf("image %s: %w", cmp.Or(image.Reference, image.Name), err)
		}
	}
	slices.SortFunc(c.images, func(x, y Image) int { return cmp.Compare(x.Name, y.Name) })
	for digest := range c.metadata {
		delete(c.rest, digest)
	}
	return nil
}

// add reads the manifest of an image, or of the artifact with the documents.
func (c *Contents) add(image Image, descriptor v1.Descriptor, architecture string) error {
	manifest := &v1.Manifest{}
	if err := c.fetchJSON(descriptor, manifest); err != nil {
		return err
	}
	metadata, layers := parts(descriptor, manifest)
	if err := collect(c.metadata, metadata); err != nil {
		return err
	}
	if err := collect(c.rest, layers); err != nil {
		return err
	}
	if image.Use == UseMetadata {
		return c.addDocuments(manifest)
	}
	config := &v1.ConfigFile{}
	if err := c.fetchJSON(manifest.Config, config); err != nil {
		return err
	}
	if err := c.checkPlatform(config, architecture); err != nil {
		return err
	}
	c.images = append(c.images, image)
	c.layers[image.Digest] = layers
	return nil
}

// parts tells the blobs that are needed to know the others, the manifest included, from the layers of an image.
func parts(descriptor v1.Descriptor, manifest *v1.Manifest) (metadata, layers []v1.Descriptor) {
	metadata = []v1.Descriptor{descriptor, manifest.Config}
	if Use(descriptor.Annotations[AnnotationUse]) == UseMetadata {
		return append(metadata, manifest.Layers...), nil
	}
	return metadata, manifest.Layers
}

// collect adds blobs by digest.
func collect(to map[string]v1.Descriptor, blobs []v1.Descriptor) error {
	for _, blob := range blobs {
		if _, err := blobName(blob.Digest); err != nil {
			return err
		}
		if other, ok := to[blob.Digest.String()]; blob.Size < 0 || ok && other.Size != blob.Size {
			return fmt.Errorf("%s cannot have %d bytes: %s", blob.Digest, blob.Size, fixCopy)
		}
		to[blob.Digest.String()] = blob
	}
	return nil
}

func (c *Contents) addDocuments(manifest *v1.Manifest) error {
	for _, document := range manifest.Layers {
		title := document.Annotations[AnnotationTitle]
		if _, twice := c.documents[title]; twice || title == "" {
			return fmt.Errorf("document %s has title %q, which is none of its own: pack the bundle anew", document.Digest, title)
		}
		c.documents[title] = document
	}
	return nil
}

func (c *Contents) checkPlatform(config *v1.ConfigFile, architecture string) error {
	platform := config.OS + "/" + config.Architecture
	if here := "linux/" + cmp.Or(architecture, config.Architecture); platform != here {
		return fmt.Errorf("it is made for %s, this machine is %s: %s", platform, here, fixArch)
	}
	if whole := c.Platform(); whole != "" && whole != platform {
		return fmt.Errorf("it is made for %s, and the bundle for %s: pack the bundle anew", platform, whole)
	}
	return nil
}

func (c *Contents) fetchJSON(descriptor v1.Descriptor, into any) error {
	raw, err := c.fetch(descriptor)
	if err != nil {
		return err
	}
	return decode(descriptor.Digest.String(), raw, into)
}

func decode(name string, raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("decode %s (%s): %w", name, fixCopy, err)
	}
	return nil
}

// find returns the blob with this digest.
func (c *Contents) find(digest string) (v1.Descriptor, bool) {
	if blob, ok := c.metadata[digest]; ok {
		return blob, true
	}
	blob, ok := c.rest[digest]
	return blob, ok
}

// blobs are all of the bundle: the metadata, then the rest, each in order of digest.
func (c *Contents) blobs() []v1.Descriptor {
	return slices.Concat(inOrder(c.metadata), inOrder(c.rest))
}

func inOrder(blobs map[string]v1.Descriptor) []v1.Descriptor {
	out := make([]v1.Descriptor, 0, len(blobs))
	for _, digest := range slices.Sorted(maps.Keys(blobs)) {
		out = append(out, blobs[digest])
	}
	return out
}
