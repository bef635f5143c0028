package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
)

// Open opens a layer, compressed as it is stored. It has verified all of it: what was written of a damaged one could not be taken back.
type Open func(ctx context.Context) (io.ReadCloser, error)

// Extract hands over the regular files at these absolute paths of the image that has these layers, the lowest first, in the order in
// which they are found; links within the image are followed. A path that is not in the image is fs.ErrNotExist that names it.
// Layers that are not needed are not opened. One pass suffices when every path is a regular file under its own name; files behind
// links are found in a second one.
func Extract(ctx context.Context, layers []Open, paths []string, to func(path string, content io.Reader) error) error {
	x := &extraction{layers: layers, to: to, missing: map[string]string{}, tree: newTree(len(layers))}
	for _, p := range paths {
		x.missing[path.Clean("/"+p)] = p
	}
	if err := x.scan(ctx); err != nil {
		return err
	}
	return x.follow(ctx)
}

// errEnough ends the reading of a layer early.
var errEnough = errors.New("nothing more is wanted")

// extraction is one Extract under way.
type extraction struct {
	layers  []Open
	to      func(path string, content io.Reader) error
	missing map[string]string // clean path → path as asked for
	tree    *tree
}

// scan reads the layers from the top down until nothing is missing, and learns the tree on its way.
func (x *extraction) scan(ctx context.Context) error {
	for i := len(x.layers) - 1; i >= 0 && len(x.missing) > 0; i-- {
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
	compressed, err := x.layers[layer](ctx)
	if err != nil {
		return err
	}
	defer compressed.Close()
	plain, err := Decompress(&stoppable{ctx, compressed})
	if err != nil {
		return fmt.Errorf("read layer %d: %w", layer, err)
	}
	defer plain.Close()
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read layer %d: %w", layer, err)
		}
		if err := each(header, archive); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
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
