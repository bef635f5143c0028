package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/gardenadm/gardenadm/hack/build/cache"
)

const (
	// level is zstd's own count; the compressor maps it to its best one.
	level = 11
	// window is how far back repetitions are found. Programs of one module share most of their code,
	// so a window that spans two of them saves a quarter; unpacking takes that much memory for a moment.
	window = 64 << 20
)

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

// Make compresses the files, or finds the result of an earlier run by the digest of the uncompressed tar.
func Make(store *cache.Store, files []File) (layer *Layer, cached bool, err error) {
	hash := sha256.New()
	if err := Write(hash, files); err != nil {
		return nil, false, err
	}
	diffID := sum(hash)
	key := fmt.Sprintf("layer-zstd%d-window%d-%s", level, window>>20, diffID.Hex)
	if dir, ok := store.Get(key); ok {
		if layer, err := open(dir); err == nil {
			return layer, true, nil
		}
	}
	dir, err := store.Put(key, func(dir string) error { return compress(dir, diffID, files) })
	if err != nil {
		return nil, false, err
	}
	layer, err = open(dir)
	return layer, false, err
}

func compress(dir string, diffID v1.Hash, files []File) error {
	blob, err := os.OpenFile(filepath.Join(dir, blobName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return fmt.Errorf("compress layer: %w", err)
	}
	defer blob.Close()
	hash := sha256.New()
	count := &counter{}
	// One thread, so that the bytes do not depend on the number of processors.
	packed, err := zstd.NewWriter(io.MultiWriter(blob, hash, count), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("compress layer: %w", err)
	}
	if err := Write(packed, files); err != nil {
		return err
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("compress layer: %w", err)
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
