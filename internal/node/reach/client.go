package reach

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Client asks control plane nodes, and does this machine's part of the probes.
type Client struct {
	from netip.Addr
	http *http.Client
}

// NewClient returns a client that asks from this address of the machine, so that it is the one that is measured; the zero Addr leaves it
// to the kernel. Servers show a certificate of the authorities; nil accepts any. When it is valid is not looked at: clocks are among what
// is asked for, and nothing secret is told.
func NewClient(from netip.Addr, authorities *x509.CertPool) *Client {
	dialer := &net.Dialer{Timeout: dialPatience}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS13,
			InsecureSkipVerify: true, //nolint:gosec // verified by verify
			VerifyConnection:   func(state tls.ConnectionState) error { return verify(state, authorities) },
		},
	}
	return &Client{from: from, http: &http.Client{Transport: transport, Timeout: askPatience}}
}

// Close lets go of connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// verify accepts a certificate of the authorities for this name, as of the time when it is valid.
func verify(state tls.ConnectionState, authorities *x509.CertPool) error {
	if authorities == nil {
		return nil
	}
	leaf := state.PeerCertificates[0]
	options := x509.VerifyOptions{Roots: authorities, DNSName: state.ServerName, CurrentTime: leaf.NotAfter, Intermediates: x509.NewCertPool()}
	for _, one := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(one)
	}
	_, err := leaf.Verify(options)
	return err
}

// Connect opens a TCP connection and closes it; the kernel chooses the address to come from, as it does for programs.
func (c *Client) Connect(ctx context.Context, to netip.AddrPort) Outcome {
	conn, outcome := connect(ctx, netip.Addr{}, to)
	if outcome == Reached {
		_ = conn.Close() // nothing was written
	}
	return outcome
}

// Clock is the other side's, compared with this machine's.
type Clock struct {
	Here, There time.Time // at the same moment
	// Within is how far There may be off, for the time that the answer took.
	Within time.Duration
}

// Ahead is how far the other clock is ahead of this one, at least: nothing when the difference can be the way's.
func (c Clock) Ahead() time.Duration {
	ahead := c.There.Sub(c.Here)
	switch {
	case ahead > c.Within:
		return ahead - c.Within
	case ahead < -c.Within:
		return ahead + c.Within
	}
	return 0
}

// Clock compares the clocks. The first answer opens the connection, the second one counts.
func (c *Client) Clock(ctx context.Context, server netip.Addr) (Clock, error) {
	var there moment
	if err := c.ask(ctx, server, http.MethodGet, pathNow, nil, &there); err != nil {
		return Clock{}, err
	}
	before := time.Now()
	if err := c.ask(ctx, server, http.MethodGet, pathNow, nil, &there); err != nil {
		return Clock{}, err
	}
	within := time.Since(before) / 2
	return Clock{Here: before.Add(within).UTC(), There: there.Time.UTC(), Within: within}, nil
}

// Twins returns the Nodes that have this machine's name, its machine ID or the address of one of its network cards, and are another machine.
func (c *Client) Twins(ctx context.Context, server netip.Addr, self Identity) ([]Identity, error) {
	var out identityAnswer
	err := c.ask(ctx, server, http.MethodPost, pathIdentity, identityRequest{self, ownLinks()}, &out)
	return out.Twins, err
}

// Back is how a server reaches this machine.
type Back struct {
	Server  netip.Addr
	Outcome Outcome
	// Seen is this machine's address as the server sees it.
	Seen netip.Addr
	// Err says why the server could not be asked.
	Err error
}

// Back lets each server dial this machine's port, on which it listens for the moment. The error is that it cannot listen.
func (c *Client) Back(ctx context.Context, servers []netip.Addr, port int) ([]Back, error) {
	n := newNonce()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", c.at(port).String())
	if err != nil {
		return nil, fmt.Errorf("listen for a moment: %w", err)
	}
	defer listener.Close() //nolint:errcheck // nothing is kept
	go greet(listener, n)
	return each(servers, func(server netip.Addr) Back {
		var got dialAnswer
		err := c.ask(ctx, server, http.MethodPost, pathDial, dialRequest{Port: port, Nonce: n}, &got)
		return Back{Server: server, Outcome: got.Outcome, Seen: got.Remote, Err: err}
	}), nil
}

// greet answers whoever connects, until the listener is closed.
func greet(listener net.Listener, n nonce) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(dialPatience))
			_, _ = conn.Write(n[:]) // the server tells what it got
			_ = conn.Close()
		}
	}
}

// at is a port of the address that the client asks from.
func (c *Client) at(port int) netip.AddrPort {
	if c.from.IsValid() {
		return netip.AddrPortFrom(c.from, uint16(port))
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))
}

// each asks all servers at once, and returns the answers in their order.
func each[T any](servers []netip.Addr, ask func(netip.Addr) T) []T {
	out := make([]T, len(servers))
	var all sync.WaitGroup
	for at, server := range servers {
		all.Go(func() { out[at] = ask(server) })
	}
	all.Wait()
	return out
}

func (c *Client) ask(ctx context.Context, server netip.Addr, method, path string, request, into any) error {
	body, err := c.open(ctx, server, method, path, request)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // was read
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("ask %s: read its answer: %w", server, err)
	}
	_, _ = io.Copy(io.Discard, body) // for the connection to be used again
	return nil
}

// mostAnswer is more than any answer has, in bytes.
const mostAnswer = 64 << 10

func (c *Client) open(ctx context.Context, server netip.Addr, method, path string, request any) (io.ReadCloser, error) {
	raw, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	url := "https://" + netip.AddrPortFrom(server, layout.PortGardenlet).String() + path
	asked, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(asked)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	body := http.MaxBytesReader(nil, response.Body, mostAnswer)
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, 200)) // what could be read of it
		_ = body.Close()
		return nil, fmt.Errorf("ask %s: it says %s: %s", server, response.Status, strings.TrimSpace(string(text)))
	}
	return body, nil
}
