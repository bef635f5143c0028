// Package serving turns what a control plane node has on its disk, its address and its certificate, into a TLS listener for other nodes.
// Used by the daemons of control plane nodes that answer other machines: the mirror and the gardenlet.
package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Reader reads files whole, as host.Files does.
type Reader interface {
	Read(ctx context.Context, path string) ([]byte, error)
}

// Listen listens on the node's primary address (layout.FileNode). A node that does not have its address yet is an error:
// systemd starts the unit again.
func Listen(ctx context.Context, files Reader, port uint16) (net.Listener, error) {
	raw, err := files.Read(ctx, layout.FileNode)
	if err != nil {
		return nil, fmt.Errorf("read the node's identity: %w", err)
	}
	var node struct {
		Addresses []netip.Addr `json:"addresses"`
	}
	if err := json.Unmarshal(raw, &node); err != nil || len(node.Addresses) == 0 {
		return nil, fmt.Errorf("read the node's identity: %s holds no address", layout.FileNode)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(node.Addresses[0], port).String())
	if err != nil {
		return nil, fmt.Errorf("listen on the node's address: %w", err)
	}
	return listener, nil
}

// Config returns the configuration of a server with the node's serving certificate (layout.FileServingCert and FileServingKey).
// The files are read at every handshake, so that a renewed certificate needs no restart. While they do not fit together, because one
// is written after the other, the last good pair serves.
func Config(files Reader, log *slog.Logger) *tls.Config {
	keeper := &keeper{files: files, log: log}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: keeper.certificate}
}

// keeper remembers the last good certificate.
type keeper struct {
	files Reader
	log   *slog.Logger

	mu        sync.Mutex
	cert, key []byte // of which good was made
	good      *tls.Certificate
}

func (k *keeper) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.look(hello.Context()); err != nil {
		if k.good == nil {
			return nil, fmt.Errorf("load serving certificate: %w", err)
		}
		k.log.Warn("the serving certificate on disk cannot be used; the last good one serves", "error", err)
	}
	return k.good, nil
}

// look takes a new pair.
func (k *keeper) look(ctx context.Context) error {
	cert, err := k.files.Read(ctx, layout.FileServingCert)
	if err != nil {
		return err
	}
	key, err := k.files.Read(ctx, layout.FileServingKey)
	if err != nil {
		return err
	}
	if k.good != nil && bytes.Equal(cert, k.cert) && bytes.Equal(key, k.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	if k.good != nil {
		k.log.Info("a new serving certificate is used", "until", pair.Leaf.NotAfter)
	}
	k.cert, k.key, k.good = cert, key, &pair
	return nil
}
