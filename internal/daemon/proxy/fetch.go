package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// maxList bounds an answer that is read; endpoint.Decode refuses what is longer than 64 KiB.
const maxList = 128 << 10

// gardenlets are those of the control plane nodes. They answer without an API server, and show a certificate of the cluster for their
// node's address.
type gardenlets struct {
	client *http.Client
	port   uint16
}

func newGardenlets(authorities *x509.CertPool, port uint16) gardenlets {
	return gardenlets{port: port, client: &http.Client{CheckRedirect: stay, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}}
}

// stay follows nobody elsewhere: the certificate is for this node.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Fetch asks a node's gardenlet for the list that it knows.
func (g gardenlets) Fetch(ctx context.Context, node netip.Addr) (endpoint.List, error) {
	url := "https://" + netip.AddrPortFrom(node, g.port).String() + "/endpoints"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return endpoint.List{}, fmt.Errorf("ask gardenlet: %w", err)
	}
	response, err := g.client.Do(request)
	if err != nil {
		return endpoint.List{}, fmt.Errorf("ask gardenlet: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxList))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("get %s: %s", url, response.Status)
	}
	if err != nil {
		return endpoint.List{}, fmt.Errorf("ask gardenlet: %w", err)
	}
	return endpoint.Decode(raw)
}
