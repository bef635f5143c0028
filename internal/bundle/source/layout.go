package source

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/layer"
)

// Files of an OCI image layout.
const (
	fileIndex = "index.json"
	dirBlobs  = "blobs"
)

// layout is an OCI image layout whose index says which image of the image vector each of its manifests is.
type layout struct {
	path     string
	platform Platform
	blobs    *store
	images   map[string][]v1.Descriptor // by name: one for each platform
}

// Layout takes images from an OCI image layout: a directory, which is read in place, or a tar of one, plain or compressed with zstd,
// which is unpacked into the cache. Its index names images by annotation (bundle.AnnotationName). That one of names is missing is an error.
func Layout(ctx context.Context, path string, platform Platform, cache string, names []string) (*Source, error) {
	l, err := openLayout(ctx, path, cache)
	if err != nil {
		return nil, fault.New(fault.ImageSource, "open image layout %s: %w", path, err).
			Mend("name a directory with an OCI image layout, or a tar of one")
	}
	var missing []string
	for _, name := range names {
		if len(l.images[name]) == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.ImageSource, "open image layout %s: it has no image %s", path, strings.Join(missing, ", ")).
			Mend("make a layout whose index.json gives each image its name in the annotation %s", bundle.AnnotationName)
	}
	l.platform = platform
	return &Source{origin: l, blobs: l.blobs, platform: platform}, nil
}

func openLayout(ctx context.Context, path, cache string) (*layout, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l := &layout{path: path, blobs: newStore(filepath.Join(path, dirBlobs)), images: map[string][]v1.Descriptor{}}
	var raw []byte
	if info.IsDir() {
		raw, err = os.ReadFile(filepath.Join(path, fileIndex))
	} else {
		l.blobs = newCache(cache)
		raw, err = unpack(ctx, path, l.blobs)
	}
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", fileIndex, err)
	}
	for _, one := range index.Manifests {
		name := one.Annotations[bundle.AnnotationName]
		l.images[name] = append(l.images[name], one)
	}
	return l, nil
}

func (l *layout) find(_ context.Context, name string) (found, error) {
	at, err := l.platform.pick(l.images[name])
	if err != nil {
		return found{}, err
	}
	text := at.Annotations[bundle.AnnotationReference]
	named, err := reference.ParseNormalizedNamed(text)
	tagged, ok := named.(reference.NamedTagged)
	if err != nil || !ok || tagged.String() != text {
		return found{}, fmt.Errorf("annotation %s must be repository:tag, in full, not %q", bundle.AnnotationReference, text)
	}
	return found{reference: text, descriptor: at}, nil
}

func (l *layout) download(string, v1.Descriptor) download { return nil }

func (l *layout) open(_ context.Context, _ string, blob v1.Descriptor) (io.ReadCloser, error) {
	return l.blobs.open(blob.Digest)
}

func (l *layout) advice(_ string, err error) string {
	if errors.Is(err, errForeign) {
		return fmt.Sprintf("name a layout for this platform instead of %s, or another --platform", l.path)
	}
	return fmt.Sprintf("%s is incomplete or damaged: make it again", l.path)
}

// unpack puts the blobs of a tar into the cache and returns its index.
func unpack(ctx context.Context, file string, cache *store) ([]byte, error) {
	from, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	plain, err := layer.Decompress(&stoppable{ctx, from})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	var index []byte
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(header.Name)
		switch dir, base := path.Split(name); {
		case header.Typeflag != tar.TypeReg:
		case name == fileIndex:
			if index, err = io.ReadAll(io.LimitReader(archive, maxJSON)); err != nil {
				return nil, err
			}
		case dir == dirBlobs+"/sha256/":
			blob := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: base}, Size: header.Size}
			if err := cache.ensure(ctx, blob, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(archive), nil }); err != nil {
				return nil, err
			}
		}
	}
	if index == nil {
		return nil, errors.New("it has no " + fileIndex)
	}
	return index, nil
}
