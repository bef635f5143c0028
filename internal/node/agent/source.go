package agent

import (
	"context"
	"io"
)

// Source gives files of images: a bundle, a mirror or containerd's store. It is safe for concurrent use.
type Source interface {
	// Digest resolves an image's reference to the digest of its manifest (sha256:…).
	Digest(ctx context.Context, image string) (string, error)
	// Extract hands over the regular files at the given absolute paths of the image, in the order in which they are found;
	// symbolic links within the image are followed. A path that is not in the image is an error that names it.
	Extract(ctx context.Context, image string, paths []string, to func(path string, content io.Reader) error) error
}
