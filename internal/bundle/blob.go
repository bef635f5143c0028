package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// checkBlob checks that a blob is there with its size.
func (b *Bundle) checkBlob(descriptor v1.Descriptor) error {
	name, err := blobName(descriptor.Digest)
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(b.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing: %s: %w", name, fixCopy, fs.ErrNotExist)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file: %s", name, fixCopy)
	case info.Size() != descriptor.Size:
		return fmt.Errorf("%s has %d bytes instead of %d: %s", name, info.Size(), descriptor.Size, fixCopy)
	}
	return nil
}

// readBlob reads and verifies a small blob.
func (b *Bundle) readBlob(descriptor v1.Descriptor) ([]byte, error) {
	if descriptor.Size > maxJSON {
		return nil, fmt.Errorf("manifest or config %s has %d bytes, more than %d", descriptor.Digest, descriptor.Size, maxJSON)
	}
	if err := b.checkBlob(descriptor); err != nil {
		return nil, err
	}
	blob, err := b.openBlob(descriptor)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(blob)
}

// Blob opens a blob of an image. Its digest is verified while it is read: damaged content ends in an error, never in io.EOF.
func (b *Bundle) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	descriptor, ok := b.find(digest)
	if !ok {
		return nil, fmt.Errorf("find blob %s in bundle %s: %w", digest, b.dir, fs.ErrNotExist)
	}
	return b.openBlob(descriptor)
}

func (b *Bundle) openBlob(descriptor v1.Descriptor) (*verifier, error) {
	name, err := blobName(descriptor.Digest)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(b.dir, name))
	if err != nil {
		return nil, err
	}
	return newVerifier(file, filepath.Join(b.dir, name), descriptor), nil
}

// verifyBlob reads a blob to its end.
func (b *Bundle) verifyBlob(ctx context.Context, descriptor v1.Descriptor) error {
	blob, err := b.openBlob(descriptor)
	if err != nil {
		return err
	}
	defer blob.Close()
	_, err = io.Copy(io.Discard, &stoppable{ctx: ctx, Reader: blob})
	return err
}

func blobName(digest v1.Hash) (string, error) {
	// What comes from a file becomes a path here.
	if raw, err := hex.DecodeString(digest.Hex); digest.Algorithm != "sha256" || err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("digest %q is not a sha256 digest: %s", digest, fixCopy)
	}
	return filepath.Join("blobs", "sha256", digest.Hex), nil
}

// verifier is a blob whose content is compared with its digest at its end.
type verifier struct {
	*os.File
	name string
	sum  hash.Hash
	left int64
	want string
}

func newVerifier(file *os.File, name string, descriptor v1.Descriptor) *verifier {
	return &verifier{File: file, name: name, sum: sha256.New(), left: descriptor.Size, want: descriptor.Digest.Hex}
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.File.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	if v.left < 0 || err == io.EOF && (v.left > 0 || hex.EncodeToString(v.sum.Sum(nil)) != v.want) {
		return 0, fault.New(fault.BadBundle, "read %s: the content does not match its digest: %s", v.name, fixCopy)
	}
	return n, err
}

// WriteTo hides that of the file, which would bypass Read.
func (v *verifier) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{v})
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	io.Reader
	// err is why it ended, unless at its end.
	err error
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
