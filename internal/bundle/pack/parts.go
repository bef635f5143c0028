package pack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/bundle/sbom"
	"github.com/gardenadm/gardenadm/internal/bundle/source"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
)

// The name of the artifact with the documents, and the type of the configuration that it does not have.
const (
	nameMetadata = "metadata"
	typeEmpty    = types.MediaType("application/vnd.oci.empty.v1+json")
)

// parts is all that is written, in the making.
type parts struct {
	index    v1.IndexManifest
	metadata []archive.Blob
	layers   []archive.Blob
}

// describe makes the index and the documents.
func (p *Packing) describe(ctx context.Context) error {
	if err := p.checkReferences(); err != nil {
		return err
	}
	out := &parts{index: v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Annotations: map[string]string{
			bundle.AnnotationFormat: bundle.Format, bundle.AnnotationGardenadm: p.Gardenadm,
			bundle.AnnotationKubernetes: p.Kubernetes, bundle.AnnotationPlatform: p.Platform.String(),
		},
	}}
	for i, fetched := range p.fetched {
		out.addImage(fetched, p.Images[i].Use, p.Platform)
	}
	documents, err := p.documents(ctx)
	if err != nil {
		return err
	}
	if err := out.addDocuments(documents); err != nil {
		return err
	}
	p.parts = out
	return nil
}

// checkReferences: in a node's containerd a reference is one image.
func (p *Packing) checkReferences() error {
	names := map[string]string{}
	for _, fetched := range p.fetched {
		if other, ok := names[fetched.Reference]; ok {
			return fault.New(fault.ImageSource, "pack images: %s and %s are the same reference %s", other, fetched.Name, fetched.Reference).
				Mend("give each image a repository or a tag of its own")
		}
		names[fetched.Reference] = fetched.Name
	}
	return nil
}

func (o *parts) addImage(image *source.Image, use bundle.Use, platform source.Platform) {
	descriptor := image.Descriptor
	descriptor.Platform = &v1.Platform{OS: platform.OS, Architecture: platform.Architecture}
	descriptor.Annotations = map[string]string{
		bundle.AnnotationReference: image.Reference, bundle.AnnotationName: image.Name, bundle.AnnotationUse: string(use),
	}
	o.index.Manifests = append(o.index.Manifests, descriptor)
	o.metadata = append(o.metadata, inMemory(image.Descriptor.Digest, image.RawManifest), inMemory(image.Manifest.Config.Digest, image.RawConfig))
	for _, layer := range image.Manifest.Layers {
		o.layers = append(o.layers, archive.Blob{Digest: layer.Digest, Size: layer.Size, Open: func(context.Context) (io.ReadCloser, error) {
			return image.Open(layer.Digest)
		}})
	}
}

func inMemory(digest v1.Hash, content []byte) archive.Blob {
	return archive.Blob{Digest: digest, Size: int64(len(content)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

// document is a text about the bundle.
type document struct {
	title     string
	mediaType types.MediaType
	content   []byte
}

func (p *Packing) documents(ctx context.Context) ([]document, error) {
	vector, err := p.vector().Encode()
	if err != nil {
		return nil, err
	}
	images := make([]sbom.Image, 0, len(p.fetched))
	for _, fetched := range p.fetched {
		images = append(images, described(fetched))
	}
	about, err := sbom.Describe(ctx, "gardenadm-"+p.Gardenadm, images)
	if err != nil {
		return nil, err
	}
	return []document{
		{bundle.DocumentVector, "application/yaml", vector},
		{bundle.DocumentSBOM, "application/spdx+json", about.SPDX},
		{bundle.DocumentNotice, "text/plain", about.Notice},
	}, nil
}

// vector is the bundle's own image vector: each image by its digest.
func (p *Packing) vector() image.Sources {
	var out image.Sources
	for _, fetched := range p.fetched {
		at := strings.LastIndexByte(fetched.Reference, ':')
		out.Images = append(out.Images, image.Source{
			Name: fetched.Name, Repository: fetched.Reference[:at], Tag: fetched.Reference[at+1:] + "@" + fetched.Descriptor.Digest.String(),
			Architectures: []string{p.Platform.Architecture},
		})
	}
	return out
}

func described(image *source.Image) sbom.Image {
	out := sbom.Image{Name: image.Name, Reference: image.Reference, Digest: image.Descriptor.Digest, Created: image.Config.Created.Time}
	for _, layer := range image.Manifest.Layers {
		out.Layers = append(out.Layers, sbom.Layer{Digest: layer.Digest, Open: func() (io.ReadCloser, error) { return image.Open(layer.Digest) }})
	}
	return out
}

// addDocuments puts them into an artifact.
func (o *parts) addDocuments(documents []document) error {
	empty := []byte("{}")
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: bundle.ArtifactMetadata, Config: o.addBlob(typeEmpty, empty)}
	for _, one := range documents {
		if len(one.content) > bundle.MaxDocument {
			return fmt.Errorf("add %s: it has %d bytes, and a bundle can have %d", one.title, len(one.content), bundle.MaxDocument)
		}
		layer := o.addBlob(one.mediaType, one.content)
		layer.Annotations = map[string]string{bundle.AnnotationTitle: one.title}
		manifest.Layers = append(manifest.Layers, layer)
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return fmt.Errorf("encode the manifest of the documents: %w", err)
	}
	descriptor := o.addBlob(types.OCIManifestSchema1, raw)
	descriptor.ArtifactType = bundle.ArtifactMetadata
	descriptor.Annotations = map[string]string{bundle.AnnotationName: nameMetadata, bundle.AnnotationUse: string(bundle.UseMetadata)}
	o.index.Manifests = append(o.index.Manifests, descriptor)
	return nil
}

func (o *parts) addBlob(mediaType types.MediaType, content []byte) v1.Descriptor {
	digest, size, _ := v1.SHA256(bytes.NewReader(content)) // reading from memory does not fail
	o.metadata = append(o.metadata, inMemory(digest, content))
	return v1.Descriptor{MediaType: mediaType, Size: size, Digest: digest}
}
