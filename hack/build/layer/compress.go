package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/gardenadm/gardenadm/hack/build/cache"
)

// level is the highest of zstd before those that take twice the time for another percent.
const level = 19

// DefaultWindow is the binary logarithm of how far back repetitions are found, in bytes: 32 MiB. Programs repeat each other, so a
// window that spans two of them saves much; unpacking takes its memory for a moment.
const DefaultWindow = 25

const (
	blobName       = "layer.tar.zst"
	descriptorName = "descriptor.json"
)

// Layer is a compressed layer on disk. It is a v1.Layer.
type Layer struct {
	path       string
	descriptor descriptor
}

type descriptor struct {
	DiffID v1.Hash `json:"diffID"`
	Digest v1.Hash `json:"digest"`
	Size   int64   `json:"size"`
}

// Compressor makes layers, each once. It calls zstd, which packs a tenth better than its port to Go.
type Compressor struct {
	store   *cache.Store
	version string
}

// NewCompressor asks zstd for its version: with the same one, the same files become the same bytes.
func NewCompressor(ctx context.Context, store *cache.Store) (*Compressor, error) {
	out, err := exec.CommandContext(ctx, "zstd", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask zstd for its version (hack/setup build installs it): %w", err)
	}
	version := regexp.MustCompile(`v[0-9]+(\.[0-9]+)+`).Find(out)
	if version == nil {
		return nil, fmt.Errorf("ask zstd for its version: none in %q", out)
	}
	return &Compressor{store: store, version: string(version)}, nil
}

// Make compresses the files, or finds the result of an earlier run by the digest of the uncompressed tar.
// It may be called at the same time for different files.
func (c *Compressor) Make(ctx context.Context, files []File, window int) (layer *Layer, cached bool, err error) {
	hash, size := sha256.New(), &counter{}
	if err := Write(io.MultiWriter(hash, size), files); err != nil {
		return nil, false, err
	}
	diffID := sum(hash)
	key := fmt.Sprintf("layer-zstd-%s-level%d-window%d-%s", c.version, level, window, diffID.Hex)
	if dir, ok := c.store.Get(key); ok {
		if layer, err := open(dir); err == nil {
			return layer, true, nil
		}
	}
	dir, err := c.store.Put(key, func(dir string) error { return compress(ctx, dir, diffID, size.n, files, window) })
	if err != nil {
		return nil, false, err
	}
	layer, err = open(dir)
	return layer, false, err
}

func compress(ctx context.Context, dir string, diffID v1.Hash, size int64, files []File, window int) error {
	blob, err := os.OpenFile(filepath.Join(dir, blobName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return fmt.Errorf("compress layer: %w", err)
	}
	defer blob.Close()
	hash, count := sha256.New(), &counter{}
	// One thread, so that the bytes do not depend on the number of processors.
	cmd := exec.CommandContext(ctx, "zstd", "--quiet", "--stdout", "--single-thread", fmt.Sprintf("-%d", level),
		fmt.Sprintf("--long=%d", window), fmt.Sprintf("--stream-size=%d", size))
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(blob, hash, count), &messages
	tar, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("compress layer: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("compress layer: %w", err)
	}
	errWrite := Write(tar, files)
	tar.Close()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("compress layer: zstd: %w: %s", err, bytes.TrimSpace(messages.Bytes()))
	}
	if errWrite != nil {
		return errWrite
	}
	if err := blob.Close(); err != nil {
		return fmt.Errorf("compress layer: %w", err)
	}
	text, err := json.Marshal(descriptor{DiffID: diffID, Digest: sum(hash), Size: count.n})
	if err != nil {
		return fmt.Errorf("describe layer: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, descriptorName), text, 0o644)
}

func open(dir string) (*Layer, error) {
	l := &Layer{path: filepath.Join(dir, blobName)}
	text, err := os.ReadFile(filepath.Join(dir, descriptorName))
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	if err := json.Unmarshal(text, &l.descriptor); err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	if info, err := os.Stat(l.path); err != nil || info.Size() != l.descriptor.Size {
		return nil, fmt.Errorf("open layer: %s is not whole", l.path)
	}
	return l, nil
}

func sum(hash interface{ Sum([]byte) []byte }) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(hash.Sum(nil))}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Path is the compressed file.
func (l *Layer) Path() string { return l.path }

// Digest is the compressed content's.
func (l *Layer) Digest() (v1.Hash, error) { return l.descriptor.Digest, nil }

// DiffID is the digest of the tar.
func (l *Layer) DiffID() (v1.Hash, error) { return l.descriptor.DiffID, nil }

// Size is the compressed content's.
func (l *Layer) Size() (int64, error) { return l.descriptor.Size, nil }

// MediaType says that it is zstd, which every containerd since 1.5 unpacks.
func (l *Layer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

// Compressed opens the file.
func (l *Layer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Uncompressed opens the file and unpacks it.
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	blob, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	unpacked, err := zstd.NewReader(blob)
	if err != nil {
		blob.Close()
		return nil, err
	}
	return &reader{Reader: unpacked, zstd: unpacked, blob: blob}, nil
}

type reader struct {
	io.Reader
	zstd *zstd.Decoder
	blob *os.File
}

func (r *reader) Close() error {
	r.zstd.Close()
	return r.blob.Close()
}
