// Package layer turns the layers of an image into its regular files, as a stream.
// Used by bundle and node/mirror, which give the node agent its files.
package layer

import (
	"bufio"
	"bytes"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Decompress goes by the first bytes of a layer or an archive: media types of layers are often wrong, magic numbers are not.
func Decompress(compressed io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(compressed, 1<<16)
	magic, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine: control planes start on two cores, and other work is under way.
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	default:
		return io.NopCloser(buffered), nil
	}
}
