package mirror

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ending is how long answers have to end when the mirror does. A reader goes on elsewhere with what it lacks.
const ending = 3 * time.Second

// Serve answers TLS connections until ctx ends. The configuration has the server's certificate; nothing is asked of clients
// unless it says so.
func (m *Mirror) Serve(ctx context.Context, listener net.Listener, config *tls.Config) error {
	server := &http.Server{
		Handler: m, TLSConfig: config,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// A connection for each answer at a time, so that one that stalls holds up no other.
		Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
		defer cancel()
		if server.Shutdown(within) != nil {
			stopped <- server.Close()
			return
		}
		stopped <- nil
	})
	err := server.ServeTLS(listener, "", "")
	if stop() { // it ended by itself
		return fmt.Errorf("serve images on %s: %w", listener.Addr(), errors.Join(err, server.Close()))
	}
	return <-stopped
}
