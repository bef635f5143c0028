package reach

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// links tells, of addresses, which hardware addresses answer for them.
type links map[netip.Addr]string

// twins are Nodes with the name, the machine ID or a network card of who asks from the address, but not itself: a machine that was a node
// before is none of its own twins. One that is Ready at another address is alive there, whatever else is the same; so is one whose card
// was seen there.
func twins(of identityRequest, from netip.Addr, nodes []Identity, seen links) []Identity {
	var out []Identity
	for _, node := range nodes {
		sameName, sameID := node.Name == of.Name, of.MachineID != "" && strings.EqualFold(node.MachineID, of.MachineID)
		elsewhere := node.Ready && node.Address.IsValid() && node.Address != from
		if link := seen[node.Address]; elsewhere && link != "" && slices.Contains(of.Links, link) {
			node.Link = link
		}
		if sameName != sameID || node.Link != "" || sameName && elsewhere {
			out = append(out, node)
		}
	}
	return out
}

// mostLinks is how many cards a machine tells of: what pods make of links is no matter.
const mostLinks = 64

// ownLinks are the addresses of this machine's network cards.
func ownLinks() []string {
	all, _ := net.Interfaces() // none is told where none can be seen
	var out []string
	for _, link := range all {
		if address := link.HardwareAddr; len(address) == len(hardware{}) && len(out) < mostLinks && !slices.Contains(out, address.String()) {
			out = append(out, address.String())
		}
	}
	return out
}

// fileNeighbours is the kernel's table of IPv4 neighbours.
const fileNeighbours = "/proc/net/arp"

// findLinks looks into the kernel's table of neighbours, and at this machine's own cards. What cannot be seen is not compared.
func (s *server) findLinks(ctx context.Context) links {
	out := links{}
	if s.Files != nil {
		raw, _ := s.Files.Read(ctx, fileNeighbours)
		out = parseNeighbours(string(raw))
	}
	own, _ := net.Interfaces()
	for _, link := range own {
		addresses, _ := link.Addrs()
		for _, one := range addresses {
			if prefix, err := netip.ParsePrefix(one.String()); err == nil && len(link.HardwareAddr) == len(hardware{}) {
				out[prefix.Addr().Unmap()] = link.HardwareAddr.String()
			}
		}
	}
	return out
}

// parseNeighbours reads lines of address, type, flags, hardware address, mask and device; what is not of this form is passed over.
func parseNeighbours(text string) links {
	out := links{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		link, linkErr := net.ParseMAC(fields[3])
		if err == nil && linkErr == nil && len(link) == len(hardware{}) && hardware(link) != (hardware{}) { // zeros: nobody has answered yet
			out[address] = link.String()
		}
	}
	return out
}
