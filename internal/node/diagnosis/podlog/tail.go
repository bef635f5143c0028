package podlog

import (
	"bytes"
	"context"
	"io"
)

// Opener opens a file, as host.Observer does.
type Opener interface {
	Open(ctx context.Context, path string) (io.ReadSeekCloser, error)
}

// lineSize is about how long a line may be on average for Tail to find enough of them.
const lineSize = 1024

// Tail returns the last lines of a log, the oldest first.
func Tail(ctx context.Context, files Opener, path string, most int) ([]Line, error) {
	file, err := files.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	from := max(0, size-int64(most)*lineSize)
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	if from > 0 { // the first line is cut
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	var decoder Decoder
	lines := decoder.Decode(raw)
	return lines[max(0, len(lines)-most):], nil
}
