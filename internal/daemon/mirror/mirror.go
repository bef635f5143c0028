// Package mirror turns a control plane node into a registry of the cluster's images.
// Used by `gardenadm run mirror`, which gardener-image-mirror.service starts.
package mirror

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/gardenadm/gardenadm/internal/daemon/serving"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
)

// Run serves the pinned images of this node's containerd to the networks until ctx ends. It waits for nothing: as long as containerd
// does not answer, whoever asks is told so, and asks the next mirror.
func Run(ctx context.Context, h *host.Host, networks []netip.Prefix, log *slog.Logger) error {
	listener, err := serving.Listen(ctx, h.Files, layout.PortMirror)
	if err != nil {
		return err
	}
	log.Info("serving images", "address", listener.Addr().String(), "networks", networks)
	return mirror.New(mirror.Options{Images: h.Images, Content: h.Content, Networks: networks, Log: log}).
		Serve(ctx, listener, serving.Config(h.Files, log))
}
