package gardenlet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/reach"
)

const (
	pathEndpoints = "GET /endpoints"
	pathRenewal   = "POST /renewal"
	// ending is how long answers have to end when the gardenlet does.
	ending = 3 * time.Second
)

// handler answers other machines, whether the API does or not. Who renews proves who it is, and checks of machines that may join need not
// come from the nodes' networks: they find out whether they do.
func handler(networks []netip.Prefix, files Files, renewal, checks http.Handler, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(pathEndpoints, within(networks, func(w http.ResponseWriter, r *http.Request) { serveEndpoints(w, r, files, log) }))
	mux.Handle(pathRenewal, renewal)
	mux.Handle(reach.PathRoot, checks)
	return mux
}

// within refuses who is in none of the networks.
func within(networks []netip.Prefix, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		inside := func(network netip.Prefix) bool { return network.Contains(from.Addr().Unmap()) }
		if err != nil || !slices.ContainsFunc(networks, inside) {
			http.Error(w, fmt.Sprintf("%s is not in the nodes' networks", r.RemoteAddr), http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// serveEndpoints hands out what this node knows of the API servers, to proxies that reach none of theirs.
func serveEndpoints(w http.ResponseWriter, r *http.Request, files Files, log *slog.Logger) {
	list, err := knownServers(r.Context(), files)
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "this node does not know of API servers yet", http.StatusNotFound)
		return
	}
	raw, encodeErr := list.Encode()
	if err := errors.Join(err, encodeErr); err != nil {
		log.Warn("the list of API servers cannot be served", "file", layout.FileEndpoints, "error", err)
		http.Error(w, "the list of API servers on this node cannot be read", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(raw) //nolint:errcheck // whoever asked is gone
}

// serve answers until the context ends. Clients may show a certificate; whether it is a good one is for those to say who need it.
func serve(ctx context.Context, listener net.Listener, config *tls.Config, h http.Handler, log *slog.Logger) error {
	config = config.Clone()
	config.ClientAuth = tls.RequestClientCert
	server := &http.Server{
		Handler: h, TLSConfig: config,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // others' handshakes
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
		defer cancel()
		ended <- errors.Join(server.Shutdown(within), server.Close())
	})
	err := server.ServeTLS(listener, "", "")
	if stop() { // it ended by itself
		return fmt.Errorf("serve on %s: %w", listener.Addr(), errors.Join(err, server.Close()))
	}
	<-ended
	return nil
}
