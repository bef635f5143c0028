package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy"
)

const (
	// handOver is how long connections whose receiver takes nothing are waited for.
	handOver = 5 * time.Second
	// keepTime bounds what systemd takes to store the connections. The unit's TimeoutStopSec is longer than both.
	keepTime = 5 * time.Second
)

// serve runs the proxy until ctx ends, and hands its connections over then.
func serve(ctx context.Context, service host.Service, p *proxy.Proxy, log *slog.Logger) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- p.Serve(serving) }()
	// The sockets are there already, so nobody has to wait for more than this.
	if err := service.Ready(ctx); err != nil {
		log.Warn("systemd does not know that the proxy is up", "error", err)
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	if err := leave(context.WithoutCancel(ctx), service, p, log); err != nil {
		log.Warn("some connections are cut", "error", err)
	}
	stop()
	return <-served
}

// leave gives the open connections to systemd, for the next process.
func leave(ctx context.Context, service host.Service, p *proxy.Proxy, log *slog.Logger) error {
	soon, cancel := context.WithTimeout(ctx, handOver)
	defer cancel()
	left, err := p.HandOver(soon)
	if err != nil {
		log.Warn("some connections are cut", "error", err)
	}
	if len(left) == 0 {
		return nil
	}
	log.Info("leaving connections to the next process", "connections", len(left))
	ctx, cancel = context.WithTimeout(ctx, keepTime)
	defer cancel()
	err = service.Keep(ctx, flatten(left))
	for _, pair := range left {
		_ = pair.Client.Close()
		_ = pair.Server.Close()
	}
	if err != nil {
		return fmt.Errorf("hand over %d connections: %w", len(left), err)
	}
	return nil
}

// flatten puts each client before its server, as pairs reads them.
func flatten(list []proxy.Pair) []*net.TCPConn {
	out := make([]*net.TCPConn, 0, 2*len(list))
	for _, pair := range list {
		out = append(out, pair.Client, pair.Server)
	}
	return out
}

// pairs undoes flatten. An even number came through, in order: that is what host.Service promises.
func pairs(list []*net.TCPConn) []proxy.Pair {
	out := make([]proxy.Pair, 0, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		out = append(out, proxy.Pair{Client: list[i], Server: list[i+1]})
	}
	return out
}
