package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// store holds blobs on the disk by their digest, as sha256/<hex>: the blobs of a layout, or the cache of what was downloaded.
type store struct {
	dir string
	// used is told of each blob that is there already.
	used func(v1.Hash)

	mu   sync.Mutex
	done map[v1.Hash]func() error
}

func newStore(dir string) *store {
	return &store{dir: dir, used: func(v1.Hash) {}, done: map[v1.Hash]func() error{}}
}

// download opens a blob where it comes from.
type download func(context.Context) (io.ReadCloser, error)

// ensure has the blob on the disk and checked. Images share layers: each is checked once, whoever comes first.
// Without a download it must be there already.
func (s *store) ensure(ctx context.Context, blob v1.Descriptor, download download) error {
	s.mu.Lock()
	once, ok := s.done[blob.Digest]
	if !ok {
		once = sync.OnceValue(func() error { return s.get(ctx, blob, download) })
		s.done[blob.Digest] = once
	}
	s.mu.Unlock()
	err := once()
	if err == nil {
		return nil
	}
	s.mu.Lock() // it may be better the next time
	delete(s.done, blob.Digest)
	s.mu.Unlock()
	if ok && ctx.Err() == nil { // what went wrong was with another image, perhaps at another registry
		return s.get(ctx, blob, download)
	}
	return err
}

func (s *store) get(ctx context.Context, blob v1.Descriptor, download download) error {
	if err := checkDigest(blob.Digest); err != nil {
		return err
	}
	err := s.check(ctx, blob)
	if err == nil || download == nil || ctx.Err() != nil {
		return err
	}
	content, err := download(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.put(ctx, blob, content), content.Close())
}

// check reads the blob that is there.
func (s *store) check(ctx context.Context, blob v1.Descriptor) error {
	content, err := s.open(blob.Digest)
	if err != nil {
		return err
	}
	defer content.Close()
	s.used(blob.Digest)
	return copyChecked(ctx, io.Discard, content, blob)
}

// put writes the blob beside its place and renames it when it is whole and right.
func (s *store) put(ctx context.Context, blob v1.Descriptor, content io.Reader) error {
	dir := filepath.Join(s.dir, blob.Digest.Algorithm)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(dir, blob.Digest.Hex+".part-")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) //nolint:errcheck // it is gone when it was renamed
	if err := errors.Join(copyChecked(ctx, part, content, blob), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), filepath.Join(dir, blob.Digest.Hex))
}

func (s *store) open(digest v1.Hash) (io.ReadCloser, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	out, err := os.Open(filepath.Join(s.dir, digest.Algorithm, digest.Hex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing: %w", digest, fs.ErrNotExist)
	}
	return out, err
}

// checkDigest: what comes from a file or a registry becomes a path here.
func checkDigest(digest v1.Hash) error {
	if raw, err := hex.DecodeString(digest.Hex); digest.Algorithm != "sha256" || err != nil || len(raw) != sha256.Size {
		return fmt.Errorf("digest %q is not a sha256 digest", digest)
	}
	return nil
}

// copyChecked copies the blob's content; other content than its digest and size say is an error.
func copyChecked(ctx context.Context, to io.Writer, content io.Reader, blob v1.Descriptor) error {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(&stoppable{ctx, content}, blob.Size+1))
	if err != nil {
		return fmt.Errorf("read blob %s: %w", blob.Digest, err)
	}
	if n != blob.Size || hex.EncodeToString(sum.Sum(nil)) != blob.Digest.Hex {
		return fmt.Errorf("read blob %s: %w", blob.Digest, errDamaged)
	}
	return nil
}

var errDamaged = errors.New("the content does not match size and digest")

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
