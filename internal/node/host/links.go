package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a network link of the machine's own network namespace.
type Link struct {
	Name string
	// Kind as "ip -details link" says it: bridge, vxlan, veth, dummy …; "device" for a card and for loopback.
	Kind string
	// Master is the bridge or bond that the link is attached to; "" for none.
	Master string
}

// Hop is a route of any table but the local one, for IPv4 or IPv6. Network.Routes tells the short story of the same routes.
type Hop struct {
	Table       int
	Destination netip.Prefix // of length 0 for a default route
	Gateway     netip.Addr   // the zero Addr for none
	Link        string       // "" for a route over several links, and for one that only drops packets
	Source      netip.Addr   // preferred source; the zero Addr for none
	// Protocol says who made it, in the words of iproute2: kernel, boot, static, dhcp, ra …
	Protocol string
	Metric   int
}

// Links is what of the network outlives the programs that made it. List and the others return all, in order.
type Links interface {
	// List returns the links by name.
	List(ctx context.Context) ([]Link, error)
	// Delete deletes the link; a missing one is fine. A bridge lets go of its ports, a veth takes its other end with it.
	Delete(ctx context.Context, name string) error
	// DeleteAddress takes an address from a link; a missing one is fine, and so is a missing link.
	DeleteAddress(ctx context.Context, link string, prefix netip.Prefix) error
	// Hops returns the routes, sorted by CompareHops.
	Hops(ctx context.Context) ([]Hop, error)
	// DeleteHop deletes the route; a missing one is fine.
	DeleteHop(ctx context.Context, hop Hop) error
	// Rules returns the policy routing rules of IPv4 and then of IPv6, each with its priority, in the order in which they are asked.
	Rules(ctx context.Context) ([]string, error)
}

// CompareHops orders routes as Links.Hops does.
func CompareHops(a, b Hop) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), a.Destination.Compare(b.Destination), cmp.Compare(a.Metric, b.Metric),
		cmp.Compare(a.Link, b.Link), a.Gateway.Compare(b.Gateway), a.Source.Compare(b.Source))
}

// String is the route as iproute2 would print it.
func (h Hop) String() string {
	out := h.Destination.String()
	for _, part := range []struct{ word, value string }{{"via", addrText(h.Gateway)}, {"dev", h.Link}, {"src", addrText(h.Source)}} {
		if part.value != "" {
			out += " " + part.word + " " + part.value
		}
	}
	if h.Table != unix.RT_TABLE_MAIN {
		out += fmt.Sprintf(" table %d", h.Table)
	}
	if h.Metric != 0 {
		out += fmt.Sprintf(" metric %d", h.Metric)
	}
	return out
}

func addrText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}

// links are the real kernel's.
type links struct{}

func (links) List(ctx context.Context) ([]Link, error) {
	byIndex, err := linksByIndex(ctx)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var out []Link
	for _, one := range byIndex {
		attributes := one.Attrs()
		link := Link{Name: attributes.Name, Kind: one.Type()}
		if master, known := byIndex[attributes.MasterIndex]; known {
			link.Master = master.Attrs().Name
		}
		out = append(out, link)
	}
	slices.SortFunc(out, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (links) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !noLink(err) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

func (links) DeleteAddress(ctx context.Context, name string, prefix netip.Prefix) error {
	err := ctx.Err()
	var link netlink.Link
	if err == nil {
		link, err = netlink.LinkByName(name)
	}
	if err == nil {
		network := toIPNet(prefix)
		err = netlink.AddrDel(link, &netlink.Addr{IPNet: network})
	}
	if err != nil && !noLink(err) && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("delete address %s of %s: %w", prefix, name, err)
	}
	return nil
}

// noLink: there is no such link, or there is none any more.
func noLink(err error) bool {
	_, missing := errors.AsType[netlink.LinkNotFoundError](err)
	return missing || errors.Is(err, unix.ENODEV)
}

func (links) Hops(ctx context.Context) ([]Hop, error) {
	byIndex, err := linksByIndex(ctx)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []Hop
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		listed, err := allRoutes(ctx, family)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, route := range listed {
			if hop, ok := hopOf(route, family, byIndex); ok {
				out = append(out, hop)
			}
		}
	}
	slices.SortStableFunc(out, CompareHops)
	return out, nil
}

// hopOf leaves out what comes and goes with addresses by itself: the local table, and multicast of IPv6.
func hopOf(route netlink.Route, family int, byIndex map[int]netlink.Link) (Hop, bool) {
	if route.Table == unix.RT_TABLE_LOCAL || route.Type == unix.RTN_MULTICAST || route.Type == unix.RTN_ANYCAST {
		return Hop{}, false
	}
	hop := Hop{Table: route.Table, Protocol: route.Protocol.String(), Metric: route.Priority}
	destination, valid := toPrefix(route.Dst)
	if !valid {
		destination = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if family == netlink.FAMILY_V6 {
			destination = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	hop.Destination = destination
	hop.Gateway, _ = toAddr(route.Gw)
	hop.Source, _ = toAddr(route.Src)
	if link, known := byIndex[route.LinkIndex]; known {
		hop.Link = link.Attrs().Name
	}
	return hop, true
}

func allRoutes(ctx context.Context, family int) ([]netlink.Route, error) {
	return dump(ctx, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
}

func (links) DeleteHop(ctx context.Context, hop Hop) error {
	if err := deleteHop(ctx, hop); err != nil {
		return fmt.Errorf("delete route %s: %w", hop, err)
	}
	return nil
}

// deleteHop looks for the route first and deletes just what it found: the kernel takes what a request leaves out as "any".
func deleteHop(ctx context.Context, hop Hop) error {
	byIndex, err := linksByIndex(ctx)
	if err != nil {
		return err
	}
	family := netlink.FAMILY_V4
	if hop.Destination.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	listed, err := allRoutes(ctx, family)
	if err != nil {
		return err
	}
	for _, route := range listed {
		found, ok := hopOf(route, family, byIndex)
		if !ok || found != hop {
			continue
		}
		if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func (links) Rules(ctx context.Context) ([]string, error) {
	var out []string
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		listed, err := dump(ctx, func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel without IPv6, or without rules
		}
		if err != nil {
			return nil, fmt.Errorf("list routing rules: %w", err)
		}
		slices.SortStableFunc(listed, func(a, b netlink.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
		for _, rule := range listed {
			out = append(out, ruleText(family, rule))
		}
	}
	return out, nil
}

// ruleText tells rules apart as iproute2 does, with the selectors that pod networks use.
func ruleText(family int, rule netlink.Rule) string {
	words := []string{fmt.Sprintf("%d:", rule.Priority), "from", "all"}
	if family == netlink.FAMILY_V6 {
		words[0] = fmt.Sprintf("inet6 %d:", rule.Priority)
	}
	if rule.Src != nil {
		words[2] = rule.Src.String()
	}
	add := func(word, value string) {
		if value != "" && value != "0" {
			words = append(words, word, value)
		}
	}
	if rule.Invert {
		words = append(words, "not")
	}
	if rule.Dst != nil {
		add("to", rule.Dst.String())
	}
	add("fwmark", fmt.Sprint(rule.Mark))
	add("iif", rule.IifName)
	add("oif", rule.OifName)
	add("lookup", fmt.Sprint(rule.Table))
	return strings.Join(words, " ")
}
