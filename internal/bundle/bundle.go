// Package bundle turns a bundle, an OCI image layout in one file or in a directory, into images to import and files to lay on a host.
// Used by init, by the bundle commands and by the node agent, which need nothing but the local disk then.
package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/bundle/signature"
	"github.com/gardenadm/gardenadm/internal/fault"
)

// Options are what is asked of a bundle.
type Options struct {
	// Architecture is what all images must be made for (as in GOARCH); "" stands for any.
	Architecture string
	// Key must have made the signature, which is verified before anything else is believed; nil asks for no signature.
	Key *signature.Verifier
}

// Bundle is an opened OCI image layout directory.
type Bundle struct {
	*Contents
	dir string
}

// Open reads the layout in dir and checks that it is whole and made for the architecture (as in GOARCH):
// every blob is there with its size. Digests are verified when blobs are read.
func Open(dir, architecture string) (*Bundle, error) {
	return openDirectory(dir, Options{Architecture: architecture})
}

func openDirectory(dir string, o Options) (*Bundle, error) {
	b := &Bundle{dir: dir}
	if err := b.open(o); err != nil {
		return nil, refused(dir, err)
	}
	return b, nil
}

// refused gives an error that has no code of its own that of a bundle that cannot be used.
func refused(path string, err error) error {
	if len(fault.Of(err)) > 0 {
		return fmt.Errorf("open bundle %s: %w", path, err)
	}
	return fault.New(fault.BadBundle, "open bundle %s: %w", path, err)
}

func (b *Bundle) open(o Options) error {
	if err := b.checkLayout(); err != nil {
		return err
	}
	index, err := b.readFile(archive.NameIndex)
	if err != nil {
		return err
	}
	signature, err := b.readFile(archive.NameSignature)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if b.Contents, err = newContents(b.dir, index, signature, o.Key); err != nil {
		return err
	}
	b.fetch = b.readBlob
	if err := b.read(o.Architecture); err != nil {
		return err
	}
	for _, blob := range b.blobs() {
		if err := b.checkBlob(blob); err != nil {
			return err
		}
	}
	return nil
}

// readFile reads a file that is no blob.
func (b *Bundle) readFile(name string) ([]byte, error) {
	file, err := os.Open(filepath.Join(b.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: this is no OCI image layout, or not all of it: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxJSON+1))
	if err == nil && len(data) > maxJSON {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxJSON)
	}
	return data, err
}

func (b *Bundle) checkLayout() error {
	raw, err := b.readFile(archive.NameLayout)
	if err != nil {
		return err
	}
	var marker struct{ ImageLayoutVersion string }
	if err := decode(archive.NameLayout, raw, &marker); err != nil {
		return err
	}
	if marker.ImageLayoutVersion != "1.0.0" {
		return fmt.Errorf("oci-layout: version %q is unknown: use a bundle made for this gardenadm", marker.ImageLayoutVersion)
	}
	return nil
}
