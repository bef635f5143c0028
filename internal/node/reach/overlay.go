package reach

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// send sends packets of all sizes to the overlay's port of the one who asks, where it listens as long as there is no overlay yet.
func (s *server) send(w http.ResponseWriter, r *http.Request, remote netip.Addr) {
	var asked sendRequest
	if !read(w, r, &asked) {
		return
	}
	if !remote.Is4() {
		http.Error(w, "only IPv4", http.StatusBadRequest)
		return
	}
	conn, err := openUDP(r.Context(), netip.AddrPortFrom(s.Address, 0), asked.Mode)
	if err != nil {
		http.Error(w, "no socket", http.StatusServiceUnavailable)
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	mtu := mtuTo(s.Address)
	to := netip.AddrPortFrom(remote, layout.PortVXLAN)
	if err := sendAll(r.Context(), conn, to, Sizes(mtu), func(size int) []byte { return payload(asked.Nonce, size) }); err != nil {
		http.Error(w, "packets cannot be sent to this address", http.StatusServiceUnavailable)
		return
	}
	answer(w, sendAnswer{MTU: mtu})
}

// receive says where it listens inside the overlay, and then what has come. The overlay's port is the kernel's: whether packets arrive
// there is to be seen only where the kernel delivers what is in them.
func (s *server) receive(w http.ResponseWriter, r *http.Request, remote netip.Addr) {
	var asked receiveRequest
	if !read(w, r, &asked) {
		return
	}
	end, ok := s.overlay()
	if !ok || !remote.Is4() {
		answer(w, door{})
		return
	}
	conn, err := openUDP(r.Context(), end.Address, whole)
	if err != nil {
		http.Error(w, "no socket", http.StatusServiceUnavailable)
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	end.Address = conn.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	answer(w, door{&end})
	if http.NewResponseController(w).Flush() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hearPatience)
	defer cancel()
	proof := newNonce()
	s.prove(ctx, proof, remote, end)
	var out heard
	hear(ctx, conn, func(datagram []byte) (all bool) {
		if _, ok := sizeOf(proof, datagram); ok {
			out.Proven = true
		}
		if size, ok := sizeOf(asked.Nonce, datagram); ok && slices.Contains(asked.Sizes, size+inOverlay) && !slices.Contains(out.Sizes, size+inOverlay) {
			out.Sizes = append(out.Sizes, size+inOverlay)
		}
		return out.Proven && len(out.Sizes) == len(asked.Sizes)
	})
	_ = json.NewEncoder(w).Encode(out) // who asked has gone, if anything
}

// prove sends a packet of the overlay to this machine itself, in the name of who asks: what keeps it away keeps away whatever comes
// through the overlay, such as a filter of source addresses.
func (s *server) prove(ctx context.Context, proof nonce, remote netip.Addr, end overlay) {
	conn, err := openUDP(ctx, netip.AddrPortFrom(s.Address, 0), whole)
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // nothing is kept
	to := netip.AddrPortFrom(s.Address, layout.PortVXLAN)
	// What is not sent is not heard, which is the answer.
	_ = sendAll(ctx, conn, to, []int{smallest}, func(size int) []byte { return overlayPayload(proof, size, remote, end) })
}
