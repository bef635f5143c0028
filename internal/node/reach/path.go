package reach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Path is what the way of the overlay's packets carries, in one direction.
type Path struct {
	// Tested: false when the machine at its end has no overlay, or cannot tell.
	Tested bool
	// MTU is that of the link at its beginning, in bytes.
	MTU int
	// Largest IP packet that arrived whole, in bytes; 0 for none.
	Largest int
	// Pieces: packets of the MTU arrive when routers may cut them.
	Pieces bool
}

// Paths are both directions between this machine and a server.
type Paths struct {
	Server     netip.Addr
	To, From   Path
	ErrTo      error // why the direction could not be tested
	ErrFrom    error
	HasOverlay bool // the server has an end of the overlay
}

// Overlay sends packets of the overlay to each server, and lets each send some to this machine's port for it, on which it listens for the
// moment. The error is that it cannot listen.
func (c *Client) Overlay(ctx context.Context, servers []netip.Addr) ([]Paths, error) {
	conn, err := openUDP(ctx, c.at(layout.PortVXLAN), whole)
	if err != nil {
		return nil, fmt.Errorf("listen for a moment: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	mail := &inbox{have: map[nonce][]int{}}
	go hear(ctx, conn, mail.put)
	return each(servers, func(server netip.Addr) Paths {
		out := Paths{Server: server}
		var both sync.WaitGroup
		both.Go(func() { out.From, out.ErrFrom = c.incoming(ctx, mail, server) })
		both.Go(func() { out.To, out.HasOverlay, out.ErrTo = c.outgoing(ctx, server) })
		both.Wait()
		return out
	}), nil
}

// incoming measures the way from the server, whole first, and in pieces when the largest packets are missing.
func (c *Client) incoming(ctx context.Context, mail *inbox, server netip.Addr) (Path, error) {
	mtu, sizes, err := c.receive(ctx, mail, server, whole)
	if err != nil {
		return Path{}, err
	}
	out := Path{Tested: true, MTU: mtu, Largest: slices.Max(append(sizes, 0))}
	if out.Largest < mtu {
		if _, sizes, err = c.receive(ctx, mail, server, pieces); err != nil {
			return out, err
		}
		out.Pieces = slices.Contains(sizes, mtu)
	}
	return out, nil
}

func (c *Client) receive(ctx context.Context, mail *inbox, server netip.Addr, m mode) (mtu int, sizes []int, err error) {
	n := newNonce()
	mail.expect(n)
	var sent sendAnswer
	if err := c.ask(ctx, server, http.MethodPost, pathSend, sendRequest{Nonce: n, Mode: m}, &sent); err != nil {
		return 0, nil, err
	}
	if sent.MTU < smallest || sent.MTU > largest {
		return 0, nil, fmt.Errorf("ask %s: it says that its MTU is %d", server, sent.MTU)
	}
	return sent.MTU, mail.wait(ctx, n, len(Sizes(sent.MTU))), nil
}

// outgoing measures the way to the server.
func (c *Client) outgoing(ctx context.Context, server netip.Addr) (out Path, tunnel bool, err error) {
	out.MTU = mtuTo(c.from)
	got, tunnel, err := c.deliver(ctx, server, whole)
	if err != nil || !tunnel {
		return out, tunnel, err
	}
	out.Largest = slices.Max(append(got.Sizes, 0))
	out.Tested = got.Proven || out.Largest > 0
	if out.Tested && out.Largest < out.MTU {
		if got, _, err = c.deliver(ctx, server, pieces); err != nil {
			return out, tunnel, err
		}
		out.Pieces = slices.Contains(got.Sizes, out.MTU)
	}
	return out, tunnel, nil
}

// deliver sends into the overlay of the server, which says what came out.
func (c *Client) deliver(ctx context.Context, server netip.Addr, m mode) (heard, bool, error) {
	sizes := Sizes(mtuTo(c.from))
	n := newNonce()
	body, err := c.open(ctx, server, http.MethodPost, pathReceive, receiveRequest{Nonce: n, Sizes: sizes})
	if err != nil {
		return heard{}, false, err
	}
	defer body.Close() //nolint:errcheck // was read
	lines := json.NewDecoder(body)
	var where door
	if err := lines.Decode(&where); err != nil {
		return heard{}, false, fmt.Errorf("ask %s: read its answer: %w", server, err)
	}
	if where.Overlay == nil {
		return heard{}, false, nil
	}
	if !where.Overlay.Address.Addr().Is4() {
		return heard{}, false, fmt.Errorf("ask %s: its overlay is at %s", server, where.Overlay.Address)
	}
	conn, err := openUDP(ctx, c.at(0), m)
	if err != nil {
		return heard{}, true, err
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	to := netip.AddrPortFrom(server, layout.PortVXLAN)
	from := c.from
	if !from.IsValid() {
		from = server // an address that is surely known there
	}
	if err := sendAll(ctx, conn, to, sizes, func(size int) []byte { return overlayPayload(n, size, from, *where.Overlay) }); err != nil {
		return heard{}, true, fmt.Errorf("send to %s: %w", to, err)
	}
	var out heard
	if err := lines.Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		return heard{}, true, fmt.Errorf("ask %s: read its answer: %w", server, err)
	}
	return out, true, nil
}

// inbox keeps which sizes have arrived with which nonce.
type inbox struct {
	mu   sync.Mutex
	have map[nonce][]int
}

func (i *inbox) expect(n nonce) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.have[n] = nil
}

// put keeps what is expected; it never has all.
func (i *inbox) put(datagram []byte) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, sizes := range i.have {
		if size, ok := sizeOf(n, datagram); ok && !slices.Contains(sizes, size) {
			i.have[n] = append(sizes, size)
		}
	}
	return false
}

// wait returns the sizes when there are so many, or when nothing more is to be expected.
func (i *inbox) wait(ctx context.Context, n nonce, count int) []int {
	ctx, cancel := context.WithTimeout(ctx, hearPatience/2)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		i.mu.Lock()
		sizes := slices.Clone(i.have[n])
		i.mu.Unlock()
		if len(sizes) >= count {
			return sizes
		}
		select {
		case <-ctx.Done():
			return sizes
		case <-tick.C:
		}
	}
}
