package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/layer"
)

// Extract hands over regular files of an image, as agent.Source promises. Layers lie on the disk then, because a layer is
// verified as a whole before the first byte of it is handed over. They stay for a next try and for Blobs, until somebody removes Dir.
func (c *Client) Extract(ctx context.Context, image string, paths []string, to func(path string, content io.Reader) error) error {
	if err := c.extract(ctx, image, paths, to); err != nil {
		return fmt.Errorf("take files of image %s from a mirror: %w", image, err)
	}
	return nil
}

func (c *Client) extract(ctx context.Context, image string, paths []string, to func(path string, content io.Reader) error) error {
	at, manifest, err := c.manifest(ctx, image)
	if err != nil {
		return err
	}
	var layers []layer.Open
	for _, one := range manifest.Layers {
		layers = append(layers, func(ctx context.Context) (io.ReadCloser, error) { return c.keep(ctx, at, one) })
	}
	return layer.Extract(ctx, layers, paths, to)
}

// Check refuses an image that is not for this machine's architecture, before anything is taken out of it.
func (c *Client) Check(ctx context.Context, image string) error {
	if _, _, err := c.manifest(ctx, image); err != nil {
		return fmt.Errorf("look at image %s on a mirror: %w", image, err)
	}
	return nil
}

// manifest is that of an image for this machine.
func (c *Client) manifest(ctx context.Context, image string) (location, *v1.Manifest, error) {
	at, err := c.locate(image)
	if err != nil {
		return at, nil, err
	}
	version := at.tag
	if at.digest != "" {
		version = at.digest
	}
	raw, err := c.read(ctx, at.path("manifests", version), digest.Digest(at.digest))
	if err != nil {
		return at, nil, fmt.Errorf("read its manifest: %w", err)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return at, nil, fmt.Errorf("read its manifest: %w", err)
	}
	if manifest.MediaType.IsIndex() {
		return at, nil, errors.New("it is an index of images for several platforms")
	}
	return at, manifest, c.checkPlatform(ctx, at, manifest.Config)
}

// checkPlatform reads the config: a manifest alone does not say what it is for.
func (c *Client) checkPlatform(ctx context.Context, at location, config v1.Descriptor) error {
	of := digest.Digest(config.Digest.String())
	raw, err := c.read(ctx, at.path("blobs", of.String()), of)
	if err != nil {
		return fmt.Errorf("read its config: %w", err)
	}
	made, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("read its config: %w", err)
	}
	if made.OS != "linux" || made.Architecture != c.options.Architecture {
		return fault.New(fault.OtherArchitecture, "it is made for %s/%s, and this machine is linux/%s", made.OS, made.Architecture, c.options.Architecture)
	}
	return nil
}

// place is where a layer lies.
func (c *Client) place(layer digest.Digest) string {
	return path.Join(c.options.Dir, layer.Algorithm().String()+"-"+layer.Encoded())
}

// keep has a layer on the disk, verified, and opens it. Images that are taken at the same time may share it.
func (c *Client) keep(ctx context.Context, at location, layer v1.Descriptor) (io.ReadCloser, error) {
	of, err := digest.Parse(layer.Digest.String())
	if err != nil {
		return nil, err
	}
	_, err, _ = c.kept.Do(of.String(), func() (any, error) { return nil, c.fetch(ctx, at, layer, of) })
	if err != nil {
		return nil, err
	}
	return c.options.Disk.Open(ctx, c.place(of))
}

func (c *Client) fetch(ctx context.Context, at location, layer v1.Descriptor, of digest.Digest) error {
	if file, err := c.open(ctx, of); err == nil {
		return file.Close()
	}
	// After damaged content another mirror is asked first.
	err := errDamaged
	for tries := len(c.options.Mirrors); tries > 0 && errors.Is(err, errDamaged); tries-- {
		err = c.download(ctx, at, layer, of)
	}
	return err
}

func (c *Client) download(ctx context.Context, at location, layer v1.Descriptor, of digest.Digest) error {
	content, err := c.pull(ctx, at, of, layer.Size)
	if err != nil {
		return fmt.Errorf("take layer %s: %w", layer.Digest, err)
	}
	defer content.Close()
	return c.options.Disk.Write(ctx, c.place(of), content, 0o600)
}

// open opens a layer that was downloaded before, perhaps by a run that was killed, and checks it.
func (c *Client) open(ctx context.Context, want digest.Digest) (io.ReadCloser, error) {
	file, err := c.options.Disk.Open(ctx, c.place(want))
	if err != nil {
		return nil, err
	}
	if !verified(want, file) {
		err = errDamaged
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read layer %s: %w", want, err), file.Close())
	}
	return file, nil
}

func verified(want digest.Digest, content io.Reader) bool {
	verifier := want.Verifier()
	_, err := io.Copy(verifier, content)
	return err == nil && verifier.Verified()
}
