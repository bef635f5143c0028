// Package proxy turns the sockets that systemd holds into the endpoint proxy of a node, and leaves its connections to the next process.
// Used by `gardenadm run proxy`, which gardener-api-proxy.service starts.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy"
	"github.com/gardenadm/gardenadm/internal/node/proxy/control"
)

const (
	// retryPause comes before a failure: a client that waits at the socket makes systemd start the proxy again at once.
	retryPause = 2 * time.Second
	// requestTime bounds a request on the control socket.
	requestTime = 10 * time.Second
)

// Options say what differs between nodes.
type Options struct {
	// Local is this node's own API server; the zero AddrPort on workers.
	Local netip.AddrPort
	Log   *slog.Logger
}

// Run serves on the sockets of gardener-api-proxy.socket until ctx ends, and then leaves the open connections with systemd. A failure
// is returned after a pause; fault.NoAPIServerKnown is one.
func Run(ctx context.Context, h *host.Host, o Options) error {
	err := run(ctx, h, o)
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
	return err
}

// run takes what systemd passed only when all else is there: what is not taken is there for the next try.
func run(ctx context.Context, h *host.Host, o Options) error {
	node, err := readNode(ctx, h)
	if err != nil {
		return err
	}
	authorities, err := readAuthorities(ctx, h)
	if err != nil {
		return err
	}
	passed, err := h.Service.Take(ctx)
	if err != nil {
		o.Log.Warn("some of what the process before left is lost", "error", err)
	}
	sockets, err := sort(passed.Listeners)
	if err != nil {
		return err
	}
	p := proxy.New(ctx, proxy.Options{
		Node: node.Name, Local: o.Local, Listeners: sockets.clients, Authorities: authorities,
		Files: h.Files, Path: layout.FileEndpoints, Fetcher: newGardenlets(authorities, layout.PortGardenlet),
		Inherited: pairs(passed.Connections), Log: o.Log,
	})
	server := &http.Server{Handler: control.Handler(p), ReadTimeout: requestTime, WriteTimeout: requestTime}
	defer server.Close() //nolint:errcheck // the process ends
	go func() { _ = server.Serve(sockets.control) }()
	o.Log.Info("serving", "inherited", len(passed.Connections)/2)
	return serve(ctx, h.Service, p, o.Log)
}

func readNode(ctx context.Context, h *host.Host) (cluster.Node, error) {
	raw, err := h.Files.Read(ctx, layout.FileNode)
	if err != nil {
		return cluster.Node{}, fmt.Errorf("read the node's identity: %w", err)
	}
	return dropin.DecodeNode(raw)
}

func readAuthorities(ctx context.Context, h *host.Host) (*x509.CertPool, error) {
	raw, err := h.Files.Read(ctx, layout.FileClusterCA)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("read the cluster's authorities: %s holds no certificate", layout.FileClusterCA)
	}
	return pool, nil
}

// sockets are those of the socket unit.
type sockets struct {
	clients []net.Listener
	control net.Listener
}

func sort(listeners []net.Listener) (sockets, error) {
	var out sockets
	for _, listener := range listeners {
		if _, isUnix := listener.(*net.UnixListener); isUnix {
			out.control = listener
		} else {
			out.clients = append(out.clients, listener)
		}
	}
	if out.control == nil || len(out.clients) == 0 {
		return sockets{}, errors.New("serve API proxy: the sockets of " + layout.UnitProxySocket + " were not passed; systemd has to start the proxy")
	}
	return out, nil
}
