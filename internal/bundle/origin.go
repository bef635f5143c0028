package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
)

// Origin is a bundle as a person hands it over: in one file, or in a layout directory. It was checked, and nothing was written.
type Origin struct {
	*Contents
	// there is the bundle when it is a directory.
	there        *Bundle
	architecture string
}

// OpenOrigin opens a file or a directory, reads all of it once and verifies it. Faults have codes BadBundle and BadSignature.
func OpenOrigin(ctx context.Context, path string, o Options) (*Origin, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, refused(path, err)
	}
	if info.IsDir() {
		there, err := openDirectory(path, o)
		if err != nil {
			return nil, err
		}
		for _, blob := range there.blobs() {
			if err := there.verifyBlob(ctx, blob); err != nil {
				return nil, fmt.Errorf("verify bundle %s: %w", path, err)
			}
		}
		return &Origin{Contents: there.Contents, there: there, architecture: o.Architecture}, nil
	}
	contents, err := verify(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return &Origin{Contents: contents, architecture: o.Architecture}, nil
}

// IsFile says that the bundle has to be unpacked before its blobs can be read.
func (o *Origin) IsFile() bool { return o.there == nil }

// stream opens the file at path and hands it over. What the bundle is to blame for is BadBundle: not what the disk did, nor the end of ctx.
func stream(ctx context.Context, path string, each func(*archive.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return refused(path, err)
	}
	defer file.Close()
	source := &stoppable{ctx: ctx, Reader: file}
	reader, err := archive.NewReader(source)
	if err == nil {
		err = each(reader)
		reader.Close()
	}
	switch {
	case source.err != nil:
		return fmt.Errorf("read bundle %s: %w", path, source.err)
	case err == nil || ofThisMachine(err):
		return err
	}
	return refused(path, err)
}

// ofThisMachine tells a file that could not be written from a bundle that cannot be used.
func ofThisMachine(err error) bool {
	var file *fs.PathError
	var link *os.LinkError
	return errors.As(err, &file) || errors.As(err, &link)
}
