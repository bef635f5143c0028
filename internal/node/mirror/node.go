package mirror

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// parallel is how many images are pulled at the same time: while one is unpacked, the next one comes.
const parallel = 2

// URL is that of the mirror of the control plane node with this address.
func URL(of netip.Addr) string { return registry.Mirror(of).URL }

// OfNode returns the client of the mirrors that this node knows: the control plane nodes with an API server. Those that are about to
// leave are asked last; the others in an order of chance, so that many nodes do not ask the same one. authority are the
// cluster's certificates in PEM (layout.FileClusterCA). Layers that files are taken out of lie in layout.DirPulled.
func OfNode(h *host.Host, known endpoint.Known, authority []byte) (*Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errors.New("prepare asking mirrors: the cluster's authority holds no certificate")
	}
	var staying, leaving []string
	for _, server := range known.List.Servers {
		url := URL(server.Addresses[0].Addr())
		if server.Draining {
			leaving = append(leaving, url)
		} else {
			staying = append(staying, url)
		}
	}
	rand.Shuffle(len(staying), func(i, j int) { staying[i], staying[j] = staying[j], staying[i] })
	return NewClient(ClientOptions{
		Mirrors: append(staying, leaving...), Authorities: pool, Disk: disk{h.Files, h.Observer}, Dir: layout.DirPulled,
	})
}

// disk is that of the node.
type disk struct {
	host.Files
	host.Observer
}

// Pull brings those of the images that are Missing, and pins them. What is there already is not read again, so a Pull that failed
// or was killed goes on where it was. One that fails does not keep the others away; the error names all that failed.
func (c *Client) Pull(ctx context.Context, images host.Images, list []image.Wanted) error {
	missing, err := Missing(ctx, images, list)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	failed := make([]error, len(missing))
	for i, one := range missing {
		group.Go(func() error {
			if err := c.pullOne(ctx, images, one); err != nil {
				failed[i] = fmt.Errorf("pull image %s: %w", one.Image, err)
			}
			return nil
		})
	}
	return errors.Join(group.Wait(), errors.Join(failed...))
}

func (c *Client) pullOne(ctx context.Context, images host.Images, one image.Wanted) error {
	if one.Digest == "" {
		var err error
		if one.Digest, err = c.Digest(ctx, one.Image); err != nil {
			return err
		}
	}
	from, err := c.Blobs(one.Image)
	if err != nil {
		return err
	}
	wanted := host.Image{Name: one.Image, Digest: one.Digest, Pinned: true}
	if one.Packed {
		return images.Store(ctx, wanted, from)
	}
	return images.Import(ctx, wanted, from)
}

// Missing returns those of the images that are not there, in their order: under one of their names, with another content, or not pinned.
func Missing(ctx context.Context, images host.Images, list []image.Wanted) ([]image.Wanted, error) {
	have, err := images.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []image.Wanted
	for _, one := range list {
		names, err := host.ImageNames(one.Image, one.Digest)
		if err != nil {
			return nil, err
		}
		there := func(name string) bool {
			return slices.ContainsFunc(have, func(other host.Image) bool {
				return other.Name == name && other.Pinned && (one.Digest == "" || other.Digest == one.Digest)
			})
		}
		if slices.ContainsFunc(names, func(name string) bool { return !there(name) }) {
			out = append(out, one)
		}
	}
	return out, nil
}

// Release unpins what earlier lists of this node had; what a person imported stays. A node that serves others keeps all: somebody may have
// imported the next release there, or other nodes may not have come that far.
func Release(ctx context.Context, images host.Images, list []image.Wanted) error {
	if slices.ContainsFunc(list, func(one image.Wanted) bool { return one.Packed }) {
		return nil
	}
	keep, err := images.List(ctx)
	if err != nil {
		return err
	}
	keep = slices.DeleteFunc(keep, func(one host.Image) bool { return !one.User })
	for _, one := range list {
		keep = append(keep, host.Image{Name: one.Image, Digest: one.Digest, Pinned: true})
	}
	return images.Release(ctx, keep)
}
