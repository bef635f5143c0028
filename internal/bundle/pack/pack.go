// Package pack turns images into a bundle: one file with all of them, what they are and under which licences, and a signature.
// Used by the command `bundle create`.
package pack

import (
	"context"
	"fmt"

	"github.com/gardenadm/gardenadm/internal/bundle/demand"
	"github.com/gardenadm/gardenadm/internal/bundle/source"
	"github.com/gardenadm/gardenadm/internal/flow"
)

// atOnce is how many images are fetched at the same time.
const atOnce = 4

// Packing is the making of one bundle: what goes in, and what one task leaves for the next.
type Packing struct {
	// Images are what the bundle is to have.
	Images []demand.Image
	// Source has them for Platform.
	Source   *source.Source
	Platform source.Platform
	// Kubernetes is the version that the bundle is for, without v.
	Kubernetes string
	// Gardenadm is the version of the running program.
	Gardenadm string
	// Signer signs the bundle; nil leaves it unsigned.
	Signer Signer
	// Output is the file that is made, or replaced as a whole.
	Output string

	fetched []*source.Image // in the order of Images
	parts   *parts
	result  Result
}

// Signer signs with a private key.
type Signer interface {
	Sign(data []byte) ([]byte, error)
}

// Result is what came out.
type Result struct {
	// SHA256 is the file's checksum in hex.
	SHA256 string
	// Size is the file's, in bytes.
	Size int64
}

// Run makes the bundle. The same images give the same bytes, unless a signature has a random part, as those of ECDSA keys. After a failure the file is as it was before.
func (p *Packing) Run(ctx context.Context, o flow.Observer) (Result, error) {
	if err := p.graph().Run(ctx, o); err != nil {
		return Result{}, err
	}
	return p.result, nil
}

// graph declares how a bundle is made.
func (p *Packing) graph() *flow.Graph {
	g := flow.New("bundle")
	p.fetched = make([]*source.Image, len(p.Images))
	slots := make(chan struct{}, atOnce)
	var images []*flow.Task
	for i, image := range p.Images {
		images = append(images, g.Add("fetch "+image.Name, flow.Do(func(ctx context.Context) (err error) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			p.fetched[i], err = p.Source.Fetch(ctx, image.Name)
			return err
		})))
	}
	described := g.Add("describe the images", flow.Do(p.describe), images...)
	g.Add(fmt.Sprintf("write %s", p.Output), flow.Do(p.write), described)
	return g
}
