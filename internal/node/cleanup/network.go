package cleanup

import (
	"context"
	"errors"
	"net/netip"
	"path"
	"slices"

	"github.com/gardenadm/gardenadm/internal/node/record"
)

// removeNetwork removes what pods, flannel and the endpoint proxy made: a namespace takes its end of a link with it.
func (c *Cleanup) removeNetwork(ctx context.Context) error {
	return errors.Join(c.removeNamespaces(ctx), c.removeLinks(ctx), c.removeAddresses(ctx), c.removeRoutes(ctx))
}

func (c *Cleanup) removeNamespaces(ctx context.Context) error {
	ownNamespace, namespacesErr := c.ownNamespaces(ctx)
	names, err := c.names(ctx, record.DirNamespaces)
	errs := []error{err, namespacesErr}
	for _, name := range names {
		if ownNamespace(name) && !c.found.before.Had(record.Namespace, name) {
			errs = append(errs, c.Files.Remove(ctx, path.Join(record.DirNamespaces, name))) // unmounted before
		}
	}
	return errors.Join(append(errs, c.prune(ctx, record.DirNamespaces))...)
}

// removeLinks deletes the bridge only after its ports: without it nobody knows whose they are.
func (c *Cleanup) removeLinks(ctx context.Context) error {
	links, err := c.Links.List(ctx)
	errs := []error{err}
	for _, link := range links {
		if link.Name != bridge && ownLink(link) && !c.found.before.Had(record.Link, link.Name) {
			errs = append(errs, c.Links.Delete(ctx, link.Name))
		}
	}
	if err := errors.Join(errs...); err != nil || c.found.before.Had(record.Link, bridge) {
		return err
	}
	return c.Links.Delete(ctx, bridge)
}

func (c *Cleanup) removeAddresses(ctx context.Context) error {
	addresses, err := c.Network.Addresses(ctx)
	errs := []error{err}
	for _, address := range addresses {
		item := address.Link + " " + address.Prefix.String()
		if address.Link == "lo" && proxyNetwork().Contains(address.Prefix.Addr()) && !c.found.before.Had(record.Address, item) {
			errs = append(errs, c.Links.DeleteAddress(ctx, address.Link, address.Prefix))
		}
	}
	return errors.Join(errs...)
}

// removeRoutes removes routes into the cluster's networks that we made (static) or flannel (boot). Those over links of its own went with
// them.
func (c *Cleanup) removeRoutes(ctx context.Context) error {
	hops, err := c.Links.Hops(ctx)
	errs := []error{err}
	for _, hop := range hops {
		ours := slices.ContainsFunc(slices.Concat(c.options.Networks, c.found.Networks), func(network netip.Prefix) bool {
			return network.Bits() <= hop.Destination.Bits() && network.Contains(hop.Destination.Addr())
		})
		if ours && (hop.Protocol == "static" || hop.Protocol == "boot") && !c.found.before.Had(record.Route, hop.String()) {
			errs = append(errs, c.Links.DeleteHop(ctx, hop))
		}
	}
	return errors.Join(errs...)
}
