package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// Fixes that errors name.
const (
	fixCopy = "the bundle is incomplete or damaged: copy or unpack it again"
	fixArch = "use the bundle for this machine's architecture"
)

// maxJSON bounds what is read into memory: index, manifests and configs are far smaller.
const maxJSON = 8 << 20

func (b *Bundle) readIndex() (*v1.IndexManifest, error) {
	var marker struct{ ImageLayoutVersion string }
	if err := b.readJSON("oci-layout", &marker); err != nil {
		return nil, err
	}
	if marker.ImageLayoutVersion != "1.0.0" {
		return nil, fmt.Errorf("oci-layout: version %q is unknown: use a bundle made for this gardenadm", marker.ImageLayoutVersion)
	}
	index := &v1.IndexManifest{}
	if err := b.readJSON("index.json", index); err != nil {
		return nil, err
	}
	if len(index.Manifests) == 0 {
		return nil, fmt.Errorf("index.json: it lists no images: %s", fixCopy)
	}
	return index, nil
}

func (b *Bundle) readJSON(name string, into any) error {
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: this is no OCI image layout, or not all of it: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s (%s): %w", name, fixCopy, err)
	}
	return nil
}

// addImage checks an image's blobs and remembers them.
func (b *Bundle) addImage(descriptor v1.Descriptor, architecture string) error {
	manifest := &v1.Manifest{}
	if err := b.readBlob(descriptor, manifest); err != nil {
		return err
	}
	config := &v1.ConfigFile{}
	if err := b.readBlob(manifest.Config, config); err != nil {
		return err
	}
	if config.OS != "linux" || config.Architecture != architecture {
		return fmt.Errorf("it is made for %s/%s, this machine is linux/%s: %s", config.OS, config.Architecture, architecture, fixArch)
	}
	for _, layer := range manifest.Layers {
		if err := b.addBlob(layer); err != nil {
			return err
		}
	}
	b.layers[descriptor.Digest.String()] = manifest.Layers
	return nil
}

// addBlob checks that a blob is there with its size.
func (b *Bundle) addBlob(descriptor v1.Descriptor) error {
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
	b.blobs[descriptor.Digest.String()] = descriptor
	return nil
}

// readBlob reads and verifies a small blob.
func (b *Bundle) readBlob(descriptor v1.Descriptor, into any) error {
	if descriptor.Size > maxJSON {
		return fmt.Errorf("manifest or config %s has %d bytes, more than %d", descriptor.Digest, descriptor.Size, maxJSON)
	}
	if err := b.addBlob(descriptor); err != nil {
		return err
	}
	blob, err := b.openBlob(descriptor)
	if err != nil {
		return err
	}
	defer blob.Close()
	data, err := io.ReadAll(blob)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", blob.name, err)
	}
	return nil
}

// Blob opens a blob of an image. Its digest is verified while it is read: damaged content ends in an error, never in io.EOF.
func (b *Bundle) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	descriptor, ok := b.blobs[digest]
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
	return &verifier{File: file, name: filepath.Join(b.dir, name), sum: sha256.New(), left: descriptor.Size, want: descriptor.Digest.Hex}, nil
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
}

func (s *stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.Reader.Read(p)
}
