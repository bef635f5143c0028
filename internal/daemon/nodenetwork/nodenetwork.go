// Package nodenetwork turns the node's identity file into the address and routes that a node needs at boot, before anything else of the cluster runs.
// Used by `gardenadm run node-network`, which gardener-node-network.service starts.
package nodenetwork

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

const (
	// addressWait is how long the node's link may take to get its address after power-on; systemd starts the unit again after a failure.
	addressWait = time.Minute
	// nameserverWait is how much longer the site's nameservers may take, which DHCP brings with the address or soon after.
	nameserverWait = 10 * time.Second
)

// Run gives loopback the address at which pods reach the endpoint proxy, also while the node's own address is not there yet. Then it
// makes every service network reachable for host processes: a route over the link of the node's address with that
// address as source. Without it a machine that has no default route cannot dial a Service at all, and over lo the source
// would be an address that remote pods cannot answer. Last it waits for nameservers, on a host that had some: kubelet and the node agent
// start after this, and pods keep for life what they find then.
func Run(ctx context.Context, h *host.Host, services []netip.Prefix) error {
	g := flow.New("node network")
	proxy := g.Add("give the API proxy its address", flow.Do(func(ctx context.Context) error { return ensureProxyAddress(ctx, h) }))
	g.Add("route the service networks", flow.Do(func(ctx context.Context) error { return ensure(ctx, h, services) }).Retry(addressWait, time.Second), proxy)
	if err := g.Run(ctx, nil); err != nil {
		return err
	}
	return awaitNameservers(ctx, h)
}

// awaitNameservers is done after nameserverWait, also when the site has no nameservers any more.
func awaitNameservers(ctx context.Context, h *host.Host) error {
	if _, err := h.Files.Stat(ctx, dropin.FileResolvConf); !errors.Is(err, fs.ErrNotExist) {
		return err // there were none before
	}
	ctx, cancel := context.WithTimeout(ctx, nameserverWait)
	defer cancel()
	for {
		facts, err := h.Prober.Probe(ctx)
		if ctx.Err() != nil || err == nil && dropin.Resolves(facts) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func ensureProxyAddress(ctx context.Context, h *host.Host) error {
	address := cluster.PodAPIServer()
	if err := h.Network.EnsureAddress(ctx, "lo", netip.PrefixFrom(address, address.BitLen())); err != nil {
		return fmt.Errorf("give the API proxy its address: %w", err)
	}
	return nil
}

func ensure(ctx context.Context, h *host.Host, services []netip.Prefix) error {
	node, err := readNode(ctx, h)
	if err != nil {
		return err
	}
	addresses, err := h.Network.Addresses(ctx)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, address := range addresses {
		if address.Prefix.Addr() != node || !address.Up {
			continue
		}
		for _, service := range services {
			route := host.Route{Destination: service, Link: address.Link, Source: node}
			if err := h.Network.EnsureRoute(ctx, route); err != nil {
				return fmt.Errorf("route %s over %s: %w", service, address.Link, err)
			}
		}
		return nil
	}
	return fmt.Errorf("find the link of the node's address %s: no link that is up has it", node)
}

func readNode(ctx context.Context, h *host.Host) (netip.Addr, error) {
	raw, err := h.Files.Read(ctx, layout.FileNode)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read the node's identity: %w", err)
	}
	var node struct {
		Addresses []netip.Addr `json:"addresses"`
	}
	if err := json.Unmarshal(raw, &node); err != nil || len(node.Addresses) == 0 {
		return netip.Addr{}, fmt.Errorf("read the node's identity: %s holds no address", layout.FileNode)
	}
	return node.Addresses[0], nil
}
