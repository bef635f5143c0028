// Package sbom turns images into an SPDX document of all that is in them, and a NOTICE with its licences and sources.
// Used by bundle/pack.
package sbom

import (
	"context"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Image is an image to be described.
type Image struct {
	// Name is the image's in the image vector.
	Name string
	// Reference is repository:tag.
	Reference string
	// Digest is that of its manifest.
	Digest v1.Hash
	// Created is when it was made, by its own account; the zero time where it does not say.
	Created time.Time
	Layers  []Layer
}

// Layer is one layer of an image: a tar, compressed or not.
type Layer struct {
	Digest v1.Hash
	Open   func() (io.ReadCloser, error)
}

// Documents are what there is to know about a bundle. The same images give the same bytes.
type Documents struct {
	// SPDX is JSON in version 2.3.
	SPDX []byte
	// Notice is for people to read.
	Notice []byte
}

// Describe reads the images' layers. tool is what the document says it was made by, for example gardenadm-v1.0.0.
func Describe(ctx context.Context, tool string, images []Image) (Documents, error) {
	inventory, err := takeInventory(ctx, images)
	if err != nil {
		return Documents{}, fmt.Errorf("describe images: %w", err)
	}
	spdx, err := inventory.spdx(tool)
	if err != nil {
		return Documents{}, fmt.Errorf("describe images: %w", err)
	}
	return Documents{SPDX: spdx, Notice: inventory.notice()}, nil
}
