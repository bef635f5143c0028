package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/proxy"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

const (
	// patience is how long an answer may take, also while the proxy is being replaced.
	patience = 10 * time.Second
	// maxAnswer bounds an answer that is read.
	maxAnswer = 1 << 20
)

// Client asks the endpoint proxy of this machine. Each request has a connection of its own.
type Client struct {
	// Socket is the path of the proxy's socket (layout.SocketProxy).
	Socket string
}

// State returns the proxy's state now.
func (c Client) State(ctx context.Context) (proxy.State, error) {
	raw, err := c.do(ctx, http.MethodGet, pathState, nil)
	if err != nil {
		return proxy.State{}, fmt.Errorf("ask the endpoint proxy for its state: %w", err)
	}
	var out proxy.State
	if err := json.Unmarshal(raw, &out); err != nil {
		return proxy.State{}, fmt.Errorf("read the endpoint proxy's state: %w", err)
	}
	return out, nil
}

// Offer hands the proxy a list of API servers. One that is not newer than what the proxy knows is no error.
func (c Client) Offer(ctx context.Context, list endpoint.List) error {
	raw, err := list.Encode()
	if err != nil {
		return err
	}
	if _, err := c.do(ctx, http.MethodPut, pathEndpoints, raw); err != nil {
		return fmt.Errorf("hand the endpoint proxy a list of API servers: %w", err)
	}
	return nil
}

func (c Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://proxy"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(raw)))
	}
	return raw, err
}
