package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// NodeAddress is the machine's address in the cluster and where it was found.
type NodeAddress struct {
	host.Address
	Why string
}

// IP is the address itself.
func (a NodeAddress) IP() netip.Addr { return a.Prefix.Addr() }

// addr is the zero Addr when none was chosen.
func (a NodeAddress) addr() netip.Addr {
	if !a.Prefix.IsValid() {
		return netip.Addr{}
	}
	return a.IP()
}

// ChooseNodeAddress picks the wanted address, else the default route's source,
// else the only global address of the only physical link, else an error that lists the candidates.
// A loopback address is never chosen, whatever the host name resolves to.
func ChooseNodeAddress(addresses []host.Address, defaultSource, wanted netip.Addr) (NodeAddress, error) {
	if wanted.IsValid() {
		if found, ok := find(addresses, wanted); ok {
			return NodeAddress{found, "asked for with --node-ip"}, nil
		}
		return NodeAddress{}, fmt.Errorf("choose node address: %s is on none of this machine's links; candidates:%s", wanted, list(addresses))
	}
	if defaultSource.IsValid() {
		if found, ok := find(addresses, defaultSource); ok && usable(found) {
			return NodeAddress{found, "source of the default route"}, nil
		}
	}
	candidates := slices.DeleteFunc(slices.Clone(addresses), func(a host.Address) bool { return !usable(a) || !a.Physical || !a.Up })
	if len(candidates) == 1 {
		return NodeAddress{candidates[0], "only address of the only physical link"}, nil
	}
	if len(candidates) == 0 {
		return NodeAddress{}, fmt.Errorf("choose node address: no link that is up has a global IPv4 address; give one with --node-ip; seen:%s", list(addresses))
	}
	return NodeAddress{}, fmt.Errorf("choose node address: there is no default route and more than one address; choose one with --node-ip; candidates:%s", list(candidates))
}

func find(addresses []host.Address, wanted netip.Addr) (host.Address, bool) {
	for _, address := range addresses {
		if address.Prefix.Addr() == wanted && !wanted.IsLoopback() {
			return address, true
		}
	}
	return host.Address{}, false
}

// usable: a global unicast IPv4 address; IPv6 is refused until it works.
func usable(a host.Address) bool {
	addr := a.Prefix.Addr()
	return addr.Is4() && addr.IsGlobalUnicast()
}

func list(addresses []host.Address) string {
	var out strings.Builder
	for _, address := range addresses {
		kind := "virtual link"
		if address.Physical {
			kind = "physical link"
		}
		if !address.Up {
			kind += ", down"
		}
		fmt.Fprintf(&out, " %s (%s, %s)", address.Prefix, address.Link, kind)
	}
	if out.Len() == 0 {
		return " none"
	}
	return out.String()
}
