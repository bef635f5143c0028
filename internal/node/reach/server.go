package reach

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// Options are what a Server is to know of its machine.
type Options struct {
	// Address is the node's.
	Address netip.Addr
	// Nodes tells the Nodes of the cluster; nil: identities are not compared.
	Nodes func(context.Context) ([]Identity, error)
	// Files has the kernel's table of neighbours; nil: network cards are compared with this machine's own only.
	Files Files
}

// Files reads files of the machine.
type Files interface {
	Read(ctx context.Context, path string) ([]byte, error)
}

// server answers for one machine.
type server struct {
	Options
	limiter *limiter
	overlay func() (overlay, bool)
}

// NewServer returns what answers below PathRoot. It authenticates nobody and tells nothing that is secret: it connects with the address
// that a request comes from alone, and limits how often each address may ask. It needs no capability. Answers take up to three seconds.
func NewServer(options Options) http.Handler {
	return newServer(options, findOverlay)
}

func newServer(options Options, overlay func() (overlay, bool)) http.Handler {
	s := &server{Options: options, limiter: newLimiter(), overlay: overlay}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathNow, s.limited(s.now))
	mux.HandleFunc("POST "+pathDial, s.limited(s.dial))
	mux.HandleFunc("POST "+pathSend, s.limited(s.send))
	mux.HandleFunc("POST "+pathReceive, s.limited(s.receive))
	mux.HandleFunc("POST "+pathIdentity, s.limited(s.identity))
	return mux
}

// limited refuses who asks too often, and passes on who asks.
func (s *server) limited(handle func(http.ResponseWriter, *http.Request, netip.Addr)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			http.Error(w, "the address of who asks is not known", http.StatusBadRequest)
			return
		}
		remote := from.Addr().Unmap().WithZone("")
		done, ok := s.limiter.begin(remote)
		if !ok {
			http.Error(w, "too many questions: ask again in a while", http.StatusTooManyRequests)
			return
		}
		defer done()
		handle(w, r, remote)
	}
}

func (s *server) now(w http.ResponseWriter, _ *http.Request, _ netip.Addr) {
	answer(w, moment{time.Now()})
}

// dial connects back, to find out whether the one who asked is to be reached at its address: it answers there with its nonce.
func (s *server) dial(w http.ResponseWriter, r *http.Request, remote netip.Addr) {
	var asked dialRequest
	if !read(w, r, &asked) {
		return
	}
	if !slices.Contains(backPorts(), asked.Port) {
		http.Error(w, "no port of a node", http.StatusBadRequest)
		return
	}
	answer(w, dialAnswer{dialBack(r.Context(), netip.AddrPortFrom(remote, uint16(asked.Port)), asked.Nonce), remote})
}

func dialBack(ctx context.Context, to netip.AddrPort, expected nonce) Outcome {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	conn, outcome := connect(ctx, netip.Addr{}, to)
	if outcome != Reached {
		return outcome
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	deadline, _ := ctx.Deadline()
	var got nonce
	if conn.SetReadDeadline(deadline) != nil || !readNonce(conn, &got) || got != expected {
		return Other
	}
	return Reached
}

// identity compares the one who asks with the Nodes.
func (s *server) identity(w http.ResponseWriter, r *http.Request, remote netip.Addr) {
	var asked identityRequest
	if !read(w, r, &asked) {
		return
	}
	if s.Nodes == nil {
		http.Error(w, "identities are not compared here", http.StatusNotFound)
		return
	}
	nodes, err := s.Nodes(r.Context())
	if err != nil {
		http.Error(w, "the cluster's nodes are not known now", http.StatusServiceUnavailable)
		return
	}
	answer(w, identityAnswer{twins(asked, remote, nodes, s.findLinks(r.Context()))})
}

// mostRequest is more than any request has, in bytes.
const mostRequest = 4 << 10

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostRequest)).Decode(into); err != nil {
		http.Error(w, "the request is not understood", http.StatusBadRequest)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // who asked has gone, if anything
}

// findOverlay looks for this machine's end of the overlay.
func findOverlay() (overlay, bool) {
	link, err := net.InterfaceByName(linkOverlay)
	if err != nil || len(link.HardwareAddr) != len(hardware{}) {
		return overlay{}, false
	}
	addresses, err := link.Addrs()
	if err != nil {
		return overlay{}, false
	}
	for _, one := range addresses {
		prefix, err := netip.ParsePrefix(one.String())
		if err == nil && prefix.Addr().Is4() {
			return overlay{Link: hardware(link.HardwareAddr), Address: netip.AddrPortFrom(prefix.Addr(), 0), Network: overlayID}, true
		}
	}
	return overlay{}, false
}
