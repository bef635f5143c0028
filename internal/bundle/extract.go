package bundle

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/node/layer"
)

// Extract hands over regular files of an image, streamed from its layers, as agent.Source promises.
func (b *Bundle) Extract(ctx context.Context, image string, paths []string, to func(path string, content io.Reader) error) error {
	digest, err := b.Digest(ctx, image)
	if err != nil {
		return err
	}
	var layers []layer.Open
	for _, one := range b.layers[digest] {
		layers = append(layers, b.opener(one))
	}
	if err := layer.Extract(ctx, layers, paths, to); err != nil {
		return fmt.Errorf("extract image %s: %w", image, err)
	}
	return nil
}

// opener opens a layer, which it verifies the first time.
func (b *Bundle) opener(of v1.Descriptor) layer.Open {
	whole := false
	return func(ctx context.Context) (io.ReadCloser, error) {
		if !whole {
			if err := b.verifyBlob(ctx, of); err != nil {
				return nil, err
			}
			whole = true
		}
		blob, err := b.openBlob(of)
		if err != nil {
			return nil, err
		}
		return blob, nil
	}
}
