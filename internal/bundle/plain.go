package bundle

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	distribution "github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/gardenadm/gardenadm/internal/bundle/archive"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/layer"
)

// annotationContainerd is the whole name of an image where docker save and ctr wrote the layout; AnnotationReference is its tag alone then.
const annotationContainerd = "io.containerd.image.name"

// OpenImages is OpenOrigin for images that were not packed by gardenadm, too: an OCI image layout as docker save, ctr and skopeo write it,
// in a directory or in a tar, compressed or not. Such a tar is unpacked into dir, which is made anew and stays unless there is an error:
// it is the caller's to remove. Too little space for it is a fault with code LittleSpace.
// Nobody signs such a layout, so with a key it is refused.
func OpenImages(ctx context.Context, file string, o Options, dir string) (*Origin, error) {
	info, err := os.Stat(file)
	if err != nil || info.IsDir() || o.Key != nil {
		return OpenOrigin(ctx, file, o) // which tells what is wrong
	}
	plain, err := isPlain(ctx, file)
	if err != nil {
		return nil, refused(file, err)
	}
	if !plain {
		return OpenOrigin(ctx, file, o)
	}
	origin, err := openSpread(ctx, file, o, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return origin, nil
}

func openSpread(ctx context.Context, file string, o Options, dir string) (*Origin, error) {
	err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, filepath.FromSlash(archive.DirBlobs)), 0o700))
	if err == nil {
		err = spread(ctx, file, dir)
	}
	switch {
	case errors.Is(err, unix.ENOSPC):
		return nil, fault.New(fault.LittleSpace, "unpack %s into %s: %w", file, dir, err)
	case ofThisMachine(err) || ctx.Err() != nil || len(fault.Of(err)) > 0:
		return nil, fmt.Errorf("unpack %s into %s: %w", file, dir, err)
	case err != nil:
		return nil, refused(file, err)
	}
	origin, err := OpenOrigin(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	origin.Path = file
	return origin, nil
}

// isPlain says that a file has an image layout that gardenadm did not pack. What is no tar is left to OpenOrigin, which tells more.
func isPlain(ctx context.Context, file string) (plain bool, err error) {
	files, indexes := 0, 0
	err = eachFile(ctx, file, func(header *tar.Header, content io.Reader) error {
		files++
		if header.Name != archive.NameIndex {
			return nil
		}
		indexes++
		raw, err := io.ReadAll(io.LimitReader(content, maxJSON))
		if err != nil {
			return err
		}
		var index v1.IndexManifest
		if err := decode(header.Name, raw, &index); err != nil {
			return err
		}
		plain = index.Annotations[AnnotationFormat] == ""
		return io.EOF
	})
	switch {
	case err != nil && files == 0 && !ofThisMachine(err) && ctx.Err() == nil:
		return false, nil
	case err == nil && files > 0 && indexes == 0:
		return false, errors.New("it has no index.json: it was cut off, or is no OCI image layout (docker save writes one from version 25 on, podman save with --format oci-archive)")
	}
	return plain, err
}

// spread writes the files of a layout. They are verified when it is opened.
func spread(ctx context.Context, file, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return eachFile(ctx, file, func(header *tar.Header, content io.Reader) error {
		name := header.Name
		if name != archive.NameIndex && name != archive.NameLayout && path.Dir(name) != archive.DirBlobs {
			return nil // docker save writes its older form beside
		}
		if err := checkSpace(dir, header.Size); err != nil {
			return err
		}
		to, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, content)
		return errors.Join(err, to.Close())
	})
}

// eachFile hands over the regular files of a tar, with clean names, until each says io.EOF. No tar makes it read without end.
func eachFile(ctx context.Context, file string, each func(header *tar.Header, content io.Reader) error) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	plain, err := layer.Decompress(&stoppable{ctx: ctx, Reader: from})
	if err != nil {
		return err
	}
	defer plain.Close()
	budget := archive.Budget{}
	for in := tar.NewReader(plain); ; {
		header, err := in.Next()
		if err == nil {
			err = budget.Spend(header.Size)
		}
		if err == nil && header.Typeflag == tar.TypeReg {
			header.Name = path.Clean(header.Name)
			err = each(header, in)
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("it ends too early: %s", fixCopy)
		case err != nil:
			return err
		}
	}
}

// IsForeign says that other programs made the layout, so it has images for pods and nothing to make a node of.
func (c *Contents) IsForeign() bool { return c.foreign }

// isForeign says that other programs made the layout: it gives no image the name that gardenadm knows it by.
func (c *Contents) isForeign() bool {
	return c.index.Annotations[AnnotationFormat] == "" && !slices.ContainsFunc(c.index.Manifests, func(one v1.Descriptor) bool {
		return one.Annotations[AnnotationName] != "" || one.Annotations[AnnotationUse] != ""
	})
}

// adopt describes the images of a foreign layout as those of a bundle: pods run them by the names that they have.
func (c *Contents) adopt(architecture string) error {
	for i, one := range c.index.Manifests {
		name := cmp.Or(one.Annotations[annotationContainerd], one.Annotations[AnnotationReference])
		named, err := distribution.ParseNormalizedNamed(name)
		tagged, ok := named.(distribution.NamedTagged)
		if err != nil || !ok || tagged.String() != name {
			return fmt.Errorf("index.json: image %s has the name %q, not one with registry and tag as registry.example.org/name:v1: "+
				"write the layout again with the whole name", one.Digest, name)
		}
		if one.MediaType.IsIndex() {
			if one, err = c.ofPlatform(one, architecture); err != nil {
				return fmt.Errorf("image %s: %w", name, err)
			}
		}
		one.Annotations = map[string]string{AnnotationName: name, AnnotationReference: name, AnnotationUse: string(UsePod)}
		c.index.Manifests[i] = one
	}
	return nil
}

// ofPlatform chooses from an image for several platforms; the layout need not have the others.
func (c *Contents) ofPlatform(of v1.Descriptor, architecture string) (v1.Descriptor, error) {
	index := &v1.IndexManifest{}
	if err := c.fetchJSON(of, index); err != nil {
		return of, err
	}
	for _, one := range index.Manifests {
		if made := one.Platform; made != nil && made.OS == "linux" && made.Architecture == cmp.Or(architecture, made.Architecture) {
			return one, nil
		}
	}
	return of, fmt.Errorf("it is not made for linux/%s: %s", architecture, fixArch)
}
