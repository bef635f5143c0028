package proxy

import (
	"net/netip"
	"time"
)

// State is a proxy at one moment, for `gardenadm status`.
type State struct {
	// Generation and Sequence are those of the list; 0 when there is none.
	Generation int64 `json:"generation"`
	Sequence   int64 `json:"sequence"`
	// Problem is why the file on disk does not hold the list, "" if it does.
	Problem string `json:"problem,omitempty"`
	// Servers are in the order in which a connection would try them now.
	Servers []ServerState `json:"servers"`
	// Connections are open now; Full were refused because their listener had no room, Lost because no server could be dialled.
	Connections int   `json:"connections"`
	Full        int64 `json:"full"`
	Lost        int64 `json:"lost"`
}

// ServerState is one address of one API server.
type ServerState struct {
	Node    string         `json:"node"`
	Address netip.AddrPort `json:"address"`
	// Local: it is this node's own. Leaving: the list says that it will go. Retired: no list names it any more, it is a last resort.
	Local   bool `json:"local,omitempty"`
	Leaving bool `json:"leaving,omitempty"`
	Retired bool `json:"retired,omitempty"`

	Health Health    `json:"health"`
	Since  time.Time `json:"since"`
	// Reason of the last bad answer; "" while there is none.
	Reason      string `json:"reason,omitempty"`
	Connections int    `json:"connections"`
	// Resets counts connections that were closed because of the server's health.
	Resets int64 `json:"resets"`
}

// State returns the proxy's state now.
func (p *Proxy) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := State{
		Generation: p.known.List.Generation, Sequence: p.known.List.Sequence,
		Connections: p.clients(), Full: p.full, Lost: p.lost,
	}
	if p.problem != nil {
		out.Problem = p.problem.Error()
	}
	for _, t := range candidates(p.targets) {
		out.Servers = append(out.Servers, t.state())
	}
	return out
}

func (t *target) state() ServerState {
	return ServerState{
		Node: t.node, Address: t.address, Local: t.role == local, Leaving: t.role == leaving, Retired: t.role == retired,
		Health: t.health, Since: t.since, Reason: t.reason(), Connections: len(t.flows), Resets: t.resets,
	}
}
