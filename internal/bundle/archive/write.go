package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Write writes the file. It puts the blobs of each group in order and each blob once: one that is metadata is not written
// with the layers again. Content that does not have its blob's size and digest is an error; what was written so far is no bundle then.
func Write(ctx context.Context, w io.Writer, c Contents) error {
	if err := write(ctx, w, c); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

func write(ctx context.Context, w io.Writer, c Contents) error {
	// Layers are compressed already: all that the fastest level leaves to win is the metadata.
	// One goroutine makes the same bytes of the same contents on every machine.
	compressed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	out := &writer{ctx: ctx, Writer: compressed}
	if err := out.contents(c); err != nil {
		return errors.Join(err, compressed.Close())
	}
	return compressed.Close()
}

// writer writes entries until its context ends.
type writer struct {
	ctx context.Context
	io.Writer
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.Writer.Write(p)
}

func (w *writer) contents(c Contents) error {
	err := errors.Join(w.bytes(NameLayout, []byte(Layout)), w.bytes(NameIndex, c.Index))
	if c.Signature != nil {
		err = errors.Join(err, w.bytes(NameSignature, c.Signature))
	}
	if err != nil {
		return err
	}
	metadata := ordered(c.Metadata)
	layers := slices.DeleteFunc(ordered(c.Layers), func(layer Blob) bool {
		_, there := slices.BinarySearchFunc(metadata, layer, compare)
		return there
	})
	for _, blob := range slices.Concat(metadata, layers) {
		if err := w.blob(blob); err != nil {
			return fmt.Errorf("blob %s: %w", blob.Digest, err)
		}
	}
	return w.zeros(2 * blockSize)
}

func ordered(blobs []Blob) []Blob {
	return slices.CompactFunc(slices.SortedFunc(slices.Values(blobs), compare), func(a, b Blob) bool { return a.Digest == b.Digest })
}

func compare(a, b Blob) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) }

func (w *writer) blob(blob Blob) error {
	if err := checkDigest(blob.Digest); err != nil {
		return err
	}
	content, err := blob.Open(w.ctx)
	if err != nil {
		return err
	}
	sum := sha256.New()
	err = w.entry(blobName(blob.Digest), blob.Size, io.TeeReader(content, sum))
	if err := errors.Join(err, content.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != blob.Digest.Hex {
		return fmt.Errorf("its content has digest sha256:%s", got)
	}
	return nil
}

func (w *writer) bytes(name string, content []byte) error {
	return w.entry(name, int64(len(content)), bytes.NewReader(content))
}

func (w *writer) entry(name string, size int64, content io.Reader) error {
	head, err := header(name, size)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	// One byte more would show that the content is longer.
	n, err := io.Copy(w, io.LimitReader(content, size+1))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%s has not the %d bytes that were announced", name, size)
	}
	return w.zeros(padding(size))
}

func (w *writer) zeros(n int64) error {
	_, err := w.Write(make([]byte, n))
	return err
}
