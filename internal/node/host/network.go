package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// network is the real kernel's.
type network struct{}

func (network) Addresses(ctx context.Context) ([]Address, error) {
	addresses, err := linkAddresses(ctx)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	return addresses, nil
}

func linkAddresses(ctx context.Context) ([]Address, error) {
	links, err := linksByIndex(ctx)
	if err != nil {
		return nil, err
	}
	listed, err := dump(ctx, func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(listed, func(a, b netlink.Addr) int { return cmp.Compare(a.LinkIndex, b.LinkIndex) })
	var addresses []Address
	for _, address := range listed {
		link, known := links[address.LinkIndex]
		prefix, valid := toPrefix(address.IPNet)
		if !known || !valid {
			continue // the link came or went between the two questions
		}
		addresses = append(addresses, Address{
			Link:     link.Attrs().Name,
			Prefix:   prefix,
			Physical: physical(link, prefix),
			Up:       link.Attrs().Flags&net.FlagUp != 0,
		})
	}
	return addresses, nil
}

// physical says whether an address on the link is on a network card, or on what a machine container has for one.
func physical(link netlink.Link, prefix netip.Prefix) bool {
	attributes := link.Attrs()
	if attributes.Flags&net.FlagLoopback != 0 {
		return false
	}
	switch link.Type() {
	case "device": // what netlink calls a link without a kind: a real card
		return true
	case "bond", "team", "vlan": // servers put their cards together so, and the address is on these
		return true
	case "veth", "macvlan", "ipvlan", "netkit":
		// With the other end in another network namespace this is the card of a machine container, but also a node's
		// end of a pod's link. The latter is told by its bridge or, with network plugins that route to each pod, by
		// the host length of its prefix.
		outside := attributes.NetNsID >= 0
		return outside && attributes.MasterIndex == 0 && !prefix.IsSingleIP()
	}
	return false // bridge, vxlan, geneve, tun, wireguard, dummy, ifb, ipip …: software's own
}

func (network) DefaultSource(ctx context.Context) (netip.Addr, error) {
	// Where the default route names no source, the kernel is asked which one it would choose for a far address; nothing
	// is sent. These are in nobody's network: the old 6to4 relays, and the first one of IPv6's global range.
	for _, family := range []struct {
		number int
		far    string
	}{{netlink.FAMILY_V4, "192.88.99.1"}, {netlink.FAMILY_V6, "2000::1"}} {
		source, err := defaultSource(ctx, family.number, net.ParseIP(family.far))
		if err != nil {
			return netip.Addr{}, fmt.Errorf("find the default route's source: %w", err)
		}
		if source.IsValid() {
			return source, nil
		}
	}
	return netip.Addr{}, nil
}

func defaultSource(ctx context.Context, family int, far net.IP) (netip.Addr, error) {
	routes, err := mainRoutes(ctx, family)
	if err != nil {
		return netip.Addr{}, err
	}
	routes = slices.DeleteFunc(routes, func(route netlink.Route) bool {
		prefix, valid := toPrefix(route.Dst)
		return !valid || prefix.Bits() != 0
	})
	if len(routes) == 0 {
		return netip.Addr{}, nil
	}
	best := slices.MinFunc(routes, func(a, b netlink.Route) int { return cmp.Compare(a.Priority, b.Priority) })
	if source, valid := toAddr(best.Src); valid {
		return source, nil
	}
	chosen, err := netlink.RouteGet(far)
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return netip.Addr{}, nil // the route's link is down
	}
	if err != nil {
		return netip.Addr{}, err
	}
	for _, route := range chosen {
		if source, valid := toAddr(route.Src); valid {
			return source, nil
		}
	}
	return netip.Addr{}, nil
}

func (network) Routes(ctx context.Context) ([]Route, error) {
	links, err := linksByIndex(ctx)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		listed, err := mainRoutes(ctx, family)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, route := range listed {
			prefix, valid := toPrefix(route.Dst)
			if !valid || prefix.Bits() == 0 {
				continue
			}
			found := Route{Destination: prefix}
			if link, known := links[route.LinkIndex]; known {
				found.Link = link.Attrs().Name
			}
			found.Source, _ = toAddr(route.Src)
			routes = append(routes, found)
		}
	}
	slices.SortStableFunc(routes, CompareRoutes)
	return routes, nil
}

// CompareRoutes orders routes as Network.Routes does.
func CompareRoutes(a, b Route) int {
	return cmp.Or(a.Destination.Compare(b.Destination), cmp.Compare(a.Link, b.Link), a.Source.Compare(b.Source))
}

func (network) EnsureRoute(ctx context.Context, route Route) error {
	if err := ensureRoute(ctx, route); err != nil {
		return fmt.Errorf("make route to %s over %s: %w", route.Destination, route.Link, err)
	}
	return nil
}

func ensureRoute(ctx context.Context, route Route) error {
	link, err := netlink.LinkByName(route.Link)
	if err != nil {
		return err
	}
	family := netlink.FAMILY_V4
	if route.Destination.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	wanted := netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       toIPNet(route.Destination.Masked()),
		Scope:     netlink.SCOPE_LINK,
		Protocol:  unix.RTPROT_STATIC,
	}
	if route.Source.IsValid() {
		wanted.Src = route.Source.AsSlice()
	}
	routes, err := mainRoutes(ctx, family)
	if err != nil {
		return err
	}
	for _, there := range routes {
		prefix, _ := toPrefix(there.Dst)
		source, _ := toAddr(there.Src)
		if prefix == route.Destination.Masked() && source == route.Source && there.LinkIndex == wanted.LinkIndex && len(there.Gw) == 0 {
			return nil
		}
	}
	return netlink.RouteReplace(&wanted)
}

func (network) EnsureAddress(ctx context.Context, link string, prefix netip.Prefix) error {
	err := ctx.Err()
	var there netlink.Link
	if err == nil {
		there, err = netlink.LinkByName(link)
	}
	if err == nil {
		address := &netlink.Addr{IPNet: toIPNet(prefix)}
		if there.Attrs().Flags&net.FlagLoopback != 0 {
			address.Scope = unix.RT_SCOPE_HOST // never the source of what leaves the machine
		}
		err = netlink.AddrAdd(there, address)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("give %s the address %s: %w", link, prefix, err)
	}
	return nil
}

// mainRoutes are the unicast routes of the main table.
func mainRoutes(ctx context.Context, family int) ([]netlink.Route, error) {
	return dump(ctx, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST},
			netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	})
}

func linksByIndex(ctx context.Context) (map[int]netlink.Link, error) {
	links, err := dump(ctx, netlink.LinkList)
	if err != nil {
		return nil, err
	}
	byIndex := map[int]netlink.Link{}
	for _, link := range links {
		byIndex[link.Attrs().Index] = link
	}
	return byIndex, nil
}

// dump asks again while the answer is torn by changes that happen at the same time.
func dump[T any](ctx context.Context, ask func() ([]T, error)) ([]T, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := ask()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return found, err
		}
	}
}

func toPrefix(network *net.IPNet) (netip.Prefix, bool) {
	if network == nil {
		return netip.Prefix{}, false
	}
	address, valid := toAddr(network.IP)
	length, _ := network.Mask.Size()
	return netip.PrefixFrom(address, length), valid
}

func toAddr(ip net.IP) (netip.Addr, bool) {
	address, valid := netip.AddrFromSlice(ip)
	return address.Unmap(), valid
}

func toIPNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
