package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// errEnough ends the reading of a layer early.
var errEnough = errors.New("nothing more is wanted")

// Extract hands over regular files of an image, streamed from its layers. One pass suffices when every path is a regular file
// under its own name; files behind links are found in a second one. A layer is verified as a whole before the first byte of it
// is handed over: what was written of a damaged one could not be taken back.
func (b *Bundle) Extract(ctx context.Context, image string, paths []string, to func(path string, content io.Reader) error) error {
	digest, err := b.Digest(ctx, image)
	if err != nil {
		return err
	}
	layers := b.layers[digest]
	x := &extraction{Bundle: b, layers: layers, to: to, missing: map[string]string{}, tree: newTree(len(layers))}
	for _, p := range paths {
		x.missing[path.Clean("/"+p)] = p
	}
	if err := x.scan(ctx); err != nil {
		return fmt.Errorf("extract image %s: %w", image, err)
	}
	if err := x.follow(ctx); err != nil {
		return fmt.Errorf("extract image %s: %w", image, err)
	}
	return nil
}

// extraction is one Extract under way.
type extraction struct {
	*Bundle
	layers  []v1.Descriptor
	to      func(path string, content io.Reader) error
	missing map[string]string // clean path → path as asked for
	tree    *tree
}

// scan reads the layers from the top down until nothing is missing, and learns the tree on its way.
func (x *extraction) scan(ctx context.Context) error {
	for i := len(x.layers) - 1; i >= 0 && len(x.missing) > 0; i-- {
		if err := x.verifyBlob(ctx, x.layers[i]); err != nil {
			return err
		}
		x.tree.begin(i)
		err := x.read(ctx, i, func(header *tar.Header, content io.Reader) error {
			name, visible := x.tree.add(i, header)
			if visible && header.Typeflag == tar.TypeReg {
				return x.hand(name, content)
			}
			return nil
		})
		if err != nil {
			return err
		}
		x.tree.end()
	}
	return nil
}

// hand gives the content to whoever asked for the path.
func (x *extraction) hand(name string, content io.Reader) error {
	asked, ok := x.missing[name]
	if !ok {
		return nil
	}
	if err := x.to(asked, content); err != nil {
		return err
	}
	delete(x.missing, name)
	if len(x.missing) == 0 {
		return errEnough
	}
	return nil
}

// follow finds what is missing behind links. A stream can be handed over once, so several names of one file need several rounds.
func (x *extraction) follow(ctx context.Context) error {
	for len(x.missing) > 0 {
		round := map[place]string{}
		for _, name := range slices.Sorted(maps.Keys(x.missing)) {
			place, err := x.tree.resolve(name)
			if err != nil {
				return fmt.Errorf("find %s in the image: %w", x.missing[name], err)
			}
			if _, taken := round[place]; !taken {
				round[place] = name
			}
		}
		if err := x.take(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// take hands over the files at these places, each for one name.
func (x *extraction) take(ctx context.Context, round map[place]string) error {
	for i := range x.layers {
		left := 0
		for place := range round {
			if place.layer == i {
				left++
			}
		}
		if left == 0 {
			continue
		}
		err := x.read(ctx, i, func(header *tar.Header, content io.Reader) error {
			name, ok := round[place{i, path.Clean("/" + header.Name)}]
			if _, missing := x.missing[name]; !ok || !missing || header.Typeflag != tar.TypeReg {
				return nil
			}
			err := x.hand(name, content)
			if left--; left == 0 && err == nil {
				return errEnough
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read goes through the entries of a layer.
func (x *extraction) read(ctx context.Context, layer int, each func(*tar.Header, io.Reader) error) error {
	blob, err := x.openBlob(x.layers[layer])
	if err != nil {
		return err
	}
	defer blob.Close()
	plain, err := Decompress(&stoppable{ctx: ctx, Reader: blob})
	if err != nil {
		return fmt.Errorf("read %s: %w", blob.name, err)
	}
	defer plain.Close()
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", blob.name, err)
		}
		if err := each(header, archive); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

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
