package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

func checkAddress(_ context.Context, s subject) (string, []Finding, error) {
	address, err := s.address()
	if err != nil {
		return "", []Finding{fail(fault.New(fault.NodeAddress, "%w", err))}, nil
	}
	seen := fmt.Sprintf("%s on %s, %s", address.IP(), address.Link, address.Why)
	others := slices.DeleteFunc(slices.Clone(s.addresses), func(a host.Address) bool { return a == address.Address || !usable(a) })
	if len(others) > 0 {
		seen += "; others:" + list(others)
	}
	return seen, nil, nil
}

// checkNetworks looks for addresses in the cluster's networks, routes into them, and networks that overlap each other.
func checkNetworks(_ context.Context, s subject) (string, []Finding, error) {
	if len(s.Networks) == 0 {
		return "not tested: the networks of the cluster are not known without its manifests (--config-dir)", nil, nil
	}
	var seen []string
	var findings []Finding
	for at, network := range s.Networks {
		seen = append(seen, network.Name+" "+network.Prefix.String())
		for _, other := range s.Networks[:at] {
			if other.Prefix.Overlaps(network.Prefix) {
				findings = append(findings, fail(fault.New(fault.NetworksOverlap, "%s %s and %s %s overlap", other.Name, other.Prefix, network.Name, network.Prefix)))
			}
		}
		for _, address := range s.addresses {
			if !s.ours(address.Link, netip.Prefix{}) && address.Prefix.Masked().Overlaps(network.Prefix) {
				findings = append(findings, fail(fault.New(fault.NetworksOverlap, "the machine has the address %s on %s, in or around %s %s",
					address.Prefix, address.Link, network.Name, network.Prefix)))
			}
		}
		findings = append(findings, s.routesInto(network)...)
	}
	return strings.Join(seen, ", "), findings, nil
}

// routesInto: a route to as much or less takes packets away from the cluster; one to more loses a part of its own to the cluster.
// The routes of links' own addresses are told with these.
func (s subject) routesInto(network Network) []Finding {
	var findings []Finding
	for _, route := range s.routes {
		ofAddress := slices.ContainsFunc(s.addresses, func(a host.Address) bool { return a.Link == route.Link && a.Prefix.Masked() == route.Destination })
		if ofAddress || s.ours(route.Link, route.Destination) || !route.Destination.Overlaps(network.Prefix) {
			continue
		}
		found := fault.New(fault.NetworksOverlap, "the route to %s over %s meets %s %s", route.Destination, route.Link, network.Name, network.Prefix)
		if route.Destination.Bits() >= network.Prefix.Bits() {
			findings = append(findings, fail(found))
		} else {
			findings = append(findings, warn(found.Seen("the cluster's own route is the narrower one: hosts behind the other are not reached in this range")))
		}
	}
	return findings
}

// clusterLinks are made by flannel and the bridge plugin.
func clusterLinks() []string { return []string{"cni0", "flannel.1"} }

// ours says whether a link or route is of the cluster that this machine is a node of.
func (s subject) ours(link string, destination netip.Prefix) bool {
	if !s.own {
		return false
	}
	return slices.Contains(clusterLinks(), link) || slices.ContainsFunc(s.Networks, func(n Network) bool { return n.Prefix == destination })
}

// port is one that a node needs.
type port struct {
	number  int
	network string
	owner   string // the first word of its owner: the program
}

// ports are those of the layout table that are the role's.
func (r Role) ports() []port {
	var out []port
	for _, row := range layout.Table() {
		text, network, found := strings.Cut(row.Item, "/")
		number, err := strconv.Atoi(text)
		if row.Kind != layout.KindPort || !found || err != nil || r == Worker && ofControlPlane(number) {
			continue
		}
		out = append(out, port{number, network, strings.FieldsFunc(row.Owner, func(r rune) bool { return r == ' ' || r == ',' })[0]})
	}
	return out
}

func checkPorts(ctx context.Context, s subject) (string, []Finding, error) {
	needed := s.Role.ports()
	var numbers []int
	for _, one := range needed {
		numbers = append(numbers, one.number)
	}
	listeners, err := s.Inspector.Listeners(ctx, numbers...)
	if err != nil {
		return "", nil, err
	}
	var findings []Finding
	for _, one := range needed {
		at := slices.IndexFunc(listeners, func(l host.Listener) bool {
			return l.Network == one.network && int(l.Address.Port()) == one.number && !(s.own && one.isOf(l))
		})
		if at < 0 {
			continue
		}
		who := "the kernel, or a process that is not to be seen"
		found := fault.New(fault.PortTaken, "port %d/%s, which is for %s, is taken", one.number, one.network, one.owner)
		if l := listeners[at]; l.PID != 0 {
			who = fmt.Sprintf("%s (pid %d)", l.Program, l.PID)
			found = found.Mend("stop %s (systemctl status %d tells its unit)", who, l.PID)
		}
		found.Cause = fmt.Errorf("%w by %s", found.Cause, who)
		findings = append(findings, fail(found.Seen("it listens on "+listeners[at].Address.String())))
	}
	return fmt.Sprintf("%d ports", len(needed)), findings, nil
}

// isOf: the listener is the part of a node that the port is for. The kernel shows 15 characters of a program's name.
func (p port) isOf(l host.Listener) bool {
	if p.number == layout.PortProxy && l.Program == "systemd" { // which holds the socket for the proxy
		return true
	}
	if p.owner == "kernel" {
		return l.PID == 0
	}
	return strings.HasPrefix(l.Program, p.owner[:min(len(p.owner), 15)])
}

// checkFirewall: ufw's unit is active also when ufw is off.
func checkFirewall(ctx context.Context, s subject) (string, []Finding, error) {
	var findings []Finding
	for _, unit := range []string{"firewalld.service", "ufw.service", "nftables.service", "netfilter-persistent.service", "iptables.service"} {
		state, err := s.Units.State(ctx, unit)
		if err != nil {
			return "", findings, err
		}
		active := state.Active == "active"
		if active && unit == "ufw.service" {
			if active, err = s.ufwEnabled(ctx); err != nil {
				return "", findings, err
			}
		}
		if active {
			findings = append(findings, warn(fault.New(fault.FirewallReloads, "%s is active; a reload of it may cut off pods", unit)))
		}
	}
	if !s.facts.Root {
		return "", findings, nil
	}
	tables, err := s.Tables.List(ctx)
	if err != nil {
		return "", findings, err
	}
	for _, table := range tables {
		if len(table.Drops) == 0 || table.Family != "ip" && table.Family != "inet" {
			continue
		}
		name := table.Family + " " + table.Name + " " + strings.Join(table.Drops, ", ")
		findings = append(findings, warn(fault.New(fault.FirewallDrops, "%s drops forwarded packets which it does not accept itself, those of pods among them", name)))
	}
	return "", findings, nil
}

func (s subject) ufwEnabled(ctx context.Context) (bool, error) {
	const conf = "/etc/ufw/ufw.conf"
	there, err := s.there(ctx, conf)
	if err != nil || !there {
		return !there, err
	}
	raw, err := s.Files.Read(ctx, conf)
	return strings.Contains(strings.ToLower(string(raw)), "enabled=yes"), err
}
