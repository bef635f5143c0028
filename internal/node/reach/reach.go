// Package reach turns the question whether two machines reach each other, both ways, into requests to one of them and probes by both.
// Used by preflight on a machine that is to join, and by the gardenlet on control plane nodes, which answers it.
package reach

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Paths below which a control plane node answers.
const (
	PathRoot     = "/reach/"
	pathNow      = PathRoot + "now"
	pathDial     = PathRoot + "dial"
	pathSend     = PathRoot + "send"
	pathReceive  = PathRoot + "receive"
	pathIdentity = PathRoot + "identity"
)

// linkOverlay and overlayID are flannel's.
const (
	linkOverlay = "flannel.1"
	overlayID   = 1
)

// How long one side waits for the other. A check has five seconds for all of it.
const (
	dialPatience = 1500 * time.Millisecond
	hearPatience = 1200 * time.Millisecond
	askPatience  = 4 * time.Second
)

// backPorts are the ports of a machine that others dial; nothing else is dialled back.
func backPorts() []int {
	return []int{
		layout.PortKubelet, layout.PortAPIServer, layout.PortMirror, layout.PortGardenlet, layout.PortEtcdClient, layout.PortEtcdPeer,
	}
}

// Sizes are the lengths of IP packets, in bytes and the largest first, with which the path of a link with this MTU is measured:
// what Ethernet, PPPoE, tunnels and other overlays leave, and one so small that it passes wherever UDP does.
func Sizes(mtu int) []int {
	all := []int{mtu, 1500, 1492, 1480, 1460, 1450, 1440, 1420, 1400, 1360, 1320, 1280, 576, smallest}
	slices.Sort(all)
	slices.Reverse(all)
	return slices.DeleteFunc(slices.Compact(all), func(size int) bool { return size > min(mtu, largest) || size < smallest })
}

// Bounds of a packet: headers and nonce fit into the smallest, the largest is that of IPv4.
const (
	smallest = 128
	largest  = 65535
)

// Outcome says how dialling a port ended.
type Outcome string

// Outcomes. Dialled back, Other says that somebody else than who asked answers there.
const (
	Reached     Outcome = "reached"
	Other       Outcome = "other"
	Refused     Outcome = "refused"
	TimedOut    Outcome = "timeout"
	Unreachable Outcome = "unreachable"
)

// Identity tells machines apart.
type Identity struct {
	// Name is the Node's.
	Name string `json:"name"`
	// MachineID is that of /etc/machine-id, which copied machines share.
	MachineID string `json:"machineID"`
	// Ready says that the Node is; a machine that asks has no use for it.
	Ready bool `json:"ready,omitempty"`
	// Address is the Node's; the one who asks is seen at its own.
	Address netip.Addr `json:"address,omitzero"`
	// Link is, of a twin, the address of a network card that both have.
	Link string `json:"link,omitempty"`
}

type identityRequest struct {
	Identity
	// Links are the addresses of the machine's network cards, in lower case with colons.
	Links []string `json:"links,omitempty"`
}

// moment is what the other side sees when it is asked.
type moment struct {
	Time time.Time `json:"time"`
}

type dialRequest struct {
	Port int `json:"port"`
	// Nonce is what the port must answer with.
	Nonce nonce `json:"nonce"`
}

type dialAnswer struct {
	Outcome Outcome `json:"outcome"`
	// Remote is the address that was dialled: the one that the request came from.
	Remote netip.Addr `json:"remote"`
}

// mode says whether routers on the way may cut packets into pieces.
type mode string

const (
	whole  mode = "whole"
	pieces mode = "pieces"
)

type sendRequest struct {
	Nonce nonce `json:"nonce"`
	Mode  mode  `json:"mode"`
}

// sendAnswer comes after the packets were sent.
type sendAnswer struct {
	MTU int `json:"mtu"` // of the link to who asks
}

type receiveRequest struct {
	Nonce nonce `json:"nonce"`
	// Sizes are those that are sent; when all are there, nothing more is waited for.
	Sizes []int `json:"sizes"`
}

// door is the first line of the answer to a receiveRequest: where packets are waited for.
type door struct {
	// Overlay is where, inside the overlay; nil: this machine has none.
	Overlay *overlay `json:"overlay,omitempty"`
}

// overlay is this machine's end of the overlay.
type overlay struct {
	Link    hardware       `json:"link"`
	Address netip.AddrPort `json:"address"`
	Network uint32         `json:"network"`
}

// heard is the second line: which sizes have come.
type heard struct {
	Sizes []int `json:"sizes"`
	// Proven says that a packet of this machine to itself went the same way within it: what is missing was lost on the way here.
	Proven bool `json:"proven"`
}

type identityAnswer struct {
	// Twins are Nodes that share a name, a machine ID or a network card's address with who asks.
	Twins []Identity `json:"twins,omitempty"`
}
