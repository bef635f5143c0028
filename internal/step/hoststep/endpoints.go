package hoststep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// APIServer is the API server of a control plane node, as the endpoint proxies know it.
func APIServer(node cluster.Node) endpoint.Server {
	return endpoint.Server{Node: node.Name, Addresses: []netip.AddrPort{netip.AddrPortFrom(node.IP(), cluster.APIServerPort)}}
}

// SeedEndpoints tells the node's endpoint proxy its first API servers, before it starts. A list that is there stays: it is newer than
// this one, which has generation 1 and sequence 1. One that cannot be read is replaced. It says whether it wrote one.
func SeedEndpoints(ctx context.Context, h *host.Host, servers ...endpoint.Server) (bool, error) {
	raw, err := h.Files.Read(ctx, layout.FileEndpoints)
	if err == nil {
		if _, damage := endpoint.DecodeKnown(raw); damage == nil {
			return false, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("seed API servers: %w", err)
	}
	raw, err = endpoint.Known{List: endpoint.List{Generation: 1, Sequence: 1, Servers: servers}}.Encode()
	if err != nil {
		return false, fmt.Errorf("seed API servers: %w", err)
	}
	if err := h.Files.Write(ctx, layout.FileEndpoints, bytes.NewReader(raw), 0o644); err != nil {
		return false, fmt.Errorf("seed API servers: %w", err)
	}
	return true, nil
}
