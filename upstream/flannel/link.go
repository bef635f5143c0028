package main

import (
	"fmt"
	"net"

	"github.com/flannel-io/flannel/pkg/backend"
)

// findLink finds the link that carries the node's addresses. The default route is not asked:
// a node need not have one, and it may lead elsewhere.
func findLink(addresses []net.IP) (*backend.ExternalInterface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var found *backend.ExternalInterface
	for _, address := range addresses {
		link, err := linkOf(links, address)
		if err != nil {
			return nil, err
		}
		if found == nil {
			found = &backend.ExternalInterface{Iface: link, IfaceName: link.Name}
		}
		if found.IfaceName != link.Name {
			return nil, fmt.Errorf("find link of the node IPs: %s is on %s, the first one on %s", address, link.Name, found.IfaceName)
		}
		if four := address.To4(); four != nil {
			found.IfaceAddr, found.ExtAddr = four, four
		} else {
			found.IfaceV6Addr, found.ExtV6Addr = address, address
		}
	}
	return found, nil
}

func linkOf(links []net.Interface, address net.IP) (*net.Interface, error) {
	for i := range links {
		own, err := links[i].Addrs()
		if err != nil {
			continue // the link went away in the meantime
		}
		for _, candidate := range own {
			if prefix, ok := candidate.(*net.IPNet); ok && prefix.IP.Equal(address) {
				return &links[i], nil
			}
		}
	}
	return nil, fmt.Errorf("find link of node IP %s: no link of this machine carries it", address)
}
