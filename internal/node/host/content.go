package host

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content reads what containerd stores for the namespace of Kubernetes (k8s.io): the manifests, configs and layers of its images,
// and content that no image has yet, or no longer. It changes nothing.
type Content interface {
	// Open opens a blob by its digest (sha256:…); one that is not there is fs.ErrNotExist. What is read is not verified.
	// Reading ends with ctx. One that goes away meanwhile ends in an error.
	Open(ctx context.Context, digest string) (ContentReader, error)
}

// ContentReader is an open blob. Each call of ReadAt is a question to containerd: large ones are cheaper.
type ContentReader interface {
	io.ReaderAt
	io.Closer
	// Size is that of the whole blob, in bytes.
	Size() int64
}

// contentStore is the real containerd's.
type contentStore struct{ images *imageStore }

func (s contentStore) Open(ctx context.Context, of string) (ContentReader, error) {
	reader, err := s.open(ctx, of)
	if errdefs.IsNotFound(err) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", of, err)
	}
	return reader, nil
}

func (s contentStore) open(ctx context.Context, of string) (ContentReader, error) {
	parsed, err := digest.Parse(of)
	if err != nil {
		return nil, err
	}
	client, err := s.images.connect()
	if err != nil {
		return nil, err
	}
	return client.ContentStore().ReaderAt(ctx, ocispec.Descriptor{Digest: parsed})
}
