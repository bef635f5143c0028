package preflight

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/reach"
)

// How far clocks may be apart. Leases and logs suffer from a second; certificates of both sides are dated back by minutes at least, but
// bootstrap tokens live for minutes, and a clock that is off by more than this is not kept by anything.
const (
	clockWanted = time.Second
	clockNeeded = 30 * time.Second
)

func checkPeerClock(ctx context.Context, s subject) (string, []Finding, error) {
	if len(s.answering) == 0 {
		return notAsked, nil, nil
	}
	var seen []string
	var findings []Finding
	for _, server := range s.answering {
		clock, err := s.reach.Clock(ctx, server)
		if err != nil {
			findings = append(findings, unasked(err))
			continue
		}
		ahead := clock.Ahead()
		if ahead.Abs() <= clockWanted {
			seen = append(seen, "that of "+server.String()+" fits")
			continue
		}
		const form = "2006-01-02 15:04:05.0 MST"
		found := fault.New(fault.ClocksDiffer, "this machine's clock shows %s, that of %s %s: %s apart",
			clock.Here.Format(form), server, clock.There.Format(form), ahead.Abs().Round(100*time.Millisecond))
		if ahead.Abs() > clockNeeded {
			findings = append(findings, fail(found))
		} else {
			findings = append(findings, warn(found))
		}
	}
	return strings.Join(seen, ", "), findings, nil
}

// checkPeerIdentity asks the first that answers: each knows all Nodes.
func checkPeerIdentity(ctx context.Context, s subject) (string, []Finding, error) {
	if len(s.answering) == 0 {
		return notAsked, nil, nil
	}
	self, err := s.selfID(ctx)
	if err != nil {
		return "", nil, err
	}
	twins, err := s.reach.Twins(ctx, s.answering[0], self)
	if err != nil {
		return "", []Finding{unasked(err)}, nil
	}
	var findings []Finding
	for _, twin := range twins {
		if twin.Link != "" {
			findings = append(findings, fail(fault.New(fault.SameLink, "the Node %s (%s) has a network card with the address %s, as this machine does", twin.Name, twin.Address, twin.Link)))
		}
		sameID := strings.EqualFold(twin.MachineID, self.MachineID) && self.MachineID != ""
		switch {
		case twin.Name != self.Name && sameID:
			findings = append(findings, warn(fault.New(fault.SameMachineID, "the Node %s has this machine's ID, %s", twin.Name, self.MachineID)))
		case twin.Name == self.Name && twin.Ready && sameID:
			findings = append(findings, fail(fault.New(fault.SameName, "the Node %s is Ready at %s, and another machine with this one's ID: a copy", twin.Name, twin.Address)))
		case twin.Name == self.Name && twin.Ready:
			findings = append(findings, fail(fault.New(fault.SameName, "the Node %s is Ready, and another machine: its machine ID is another one", twin.Name)))
		}
	}
	return "", findings, nil
}

// checkPeerBack: what is reached is the address that the machine will have in the cluster.
func checkPeerBack(ctx context.Context, s subject) (string, []Finding, error) {
	if why := s.notReachable(); why != "" {
		return why, nil, nil
	}
	var findings []Finding
	var busy []string
	translated := map[string]bool{}
	for _, port := range s.Role.dialled() {
		answers, err := s.reach.Back(ctx, s.answering, port)
		if err != nil {
			busy = append(busy, fmt.Sprint(port))
			continue
		}
		for _, one := range answers {
			if one.Err != nil {
				findings = append(findings, unasked(one.Err))
				continue
			}
			if finding, ok := s.judgeSeen(one); ok && !translated[finding.Fault.Error()] {
				translated[finding.Fault.Error()] = true
				findings = append(findings, finding)
			}
			if one.Outcome != reach.Reached {
				findings = append(findings, fail(fault.New(fault.NotReachedBack, "%s does not reach port %d of this machine at %s (%s)", one.Server, port, one.Seen, describe(one.Outcome)).
					Mend("open port %d/tcp of this machine for %s", port, one.Server)))
			}
		}
	}
	seen := fmt.Sprintf("%d ports", len(s.Role.dialled())-len(busy))
	if len(busy) > 0 { // the check of ports tells of a foreign program
		seen += "; not tested, because a program listens there: " + strings.Join(busy, ", ")
	}
	return seen, findings, nil
}

// judgeSeen compares the node's address with the one that the server sees.
func (s subject) judgeSeen(one reach.Back) (Finding, bool) {
	address, err := s.address()
	if err != nil || !one.Seen.IsValid() || one.Seen == address.IP() {
		return Finding{}, false
	}
	return fail(fault.New(fault.AddressTranslated, "this machine's address in the cluster would be %s, but %s sees it as %s", address.IP(), one.Server, one.Seen)), true
}

// checkPeerOverlay: a node that runs has the overlay's port already.
func checkPeerOverlay(ctx context.Context, s subject) (string, []Finding, error) {
	if why := s.notReachable(); why != "" {
		return why, nil, nil
	}
	all, err := s.reach.Overlay(ctx, s.answering)
	if err != nil {
		return "not tested, because port 8472/udp is in use", nil, nil
	}
	var seen []string
	var findings []Finding
	for _, paths := range all {
		text, found := judgePaths(paths)
		seen, findings = append(seen, text), append(findings, found...)
	}
	return strings.Join(sortedUnique(seen), "; "), findings, nil
}

func judgePaths(paths reach.Paths) (seen string, findings []Finding) {
	if paths.ErrTo == nil && !paths.HasOverlay {
		return paths.Server.String() + " has no VXLAN", nil
	}
	for _, one := range []struct {
		words string
		path  reach.Path
		err   error
	}{
		{"to " + paths.Server.String(), paths.To, paths.ErrTo},
		{"from " + paths.Server.String(), paths.From, paths.ErrFrom},
	} {
		switch {
		case one.err != nil:
			findings = append(findings, unasked(one.err))
		case !one.path.Tested:
			findings = append(findings, warn(fault.New(fault.NotChecked, "whether packets of pods arrive %s cannot be told: it does not hear its own either", one.words).
				Mend("on that node, allow packets of flannel.1 in, and loosen the filter of source addresses (net.ipv4.conf.all.rp_filter=2)")))
		default:
			findings = append(findings, judgePath(one.words, one.path)...)
		}
	}
	if paths.ErrTo == nil && paths.ErrFrom == nil && paths.To.MTU != paths.From.MTU {
		findings = append(findings, warn(fault.New(fault.MTUsDiffer, "the MTU is %d here and %d at %s", paths.To.MTU, paths.From.MTU, paths.Server)))
	}
	return fmt.Sprintf("%d bytes to and %d from %s", paths.To.Largest, paths.From.Largest, paths.Server), findings
}

// judgePath: routers may cut the packets of VXLAN, which makes them slow and easy to lose, but they arrive.
func judgePath(words string, path reach.Path) []Finding {
	if path.Largest == 0 {
		return []Finding{fail(fault.New(fault.OverlayBlocked, "no packet to port 8472/udp arrives %s", words))}
	}
	if path.Largest >= reach.Sizes(path.MTU)[0] {
		return nil
	}
	found := fault.New(fault.PathTooSmall, "the link's MTU is %d, but %s packets of %d bytes are the largest that arrive", path.MTU, words, path.Largest).
		Mend("set the MTU of the links on all nodes to %d, or mend the network", path.Largest)
	if path.Pieces {
		return []Finding{warn(found.Seen("larger ones arrive in pieces"))}
	}
	return []Finding{fail(found)}
}
