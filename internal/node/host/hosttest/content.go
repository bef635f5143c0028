package hosttest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// contentDoor is the door to the blobs of the fake's containerd.
type contentDoor struct{ fake *Fake }

func (d contentDoor) Open(ctx context.Context, digest string) (host.ContentReader, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "open blob "+digest); err != nil {
		return nil, err
	}
	data, there := d.fake.blobs[digest]
	if !there {
		return nil, fmt.Errorf("open blob %s: %w", digest, fs.ErrNotExist)
	}
	return openBlob{bytes.NewReader(data)}, nil
}

type openBlob struct{ *bytes.Reader }

func (openBlob) Close() error { return nil }
