package preflight

import (
	"context"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/reach"
)

// Peers are the machines of the cluster that this one is to join.
type Peers struct {
	// Addresses of control plane nodes.
	Addresses []netip.Addr
	// Authorities sign the certificates that control plane nodes show; nil accepts any, which is enough to find out what is reached.
	Authorities *x509.CertPool
	// Reach makes the probes; nil stands for the network.
	Reach Reach
}

// Reach is a reach.Client.
type Reach interface {
	Connect(ctx context.Context, to netip.AddrPort) reach.Outcome
	Clock(ctx context.Context, server netip.Addr) (reach.Clock, error)
	Twins(ctx context.Context, server netip.Addr, self reach.Identity) ([]reach.Identity, error)
	Back(ctx context.Context, servers []netip.Addr, port int) ([]reach.Back, error)
	Overlay(ctx context.Context, servers []netip.Addr) ([]reach.Paths, error)
}

// peerChecks are made after those of the machine, because they take ports for a moment.
func peerChecks() []Check {
	return []Check{
		{Name: "peer-ports", Run: checkPeerPorts},
		{Name: "peer-clock", Run: checkPeerClock},
		{Name: "peer-identity", Run: checkPeerIdentity, Root: true},
		{Name: "peer-back", Run: checkPeerBack, Root: true},
		{Name: "peer-overlay", Run: checkPeerOverlay, Root: true},
	}
}

// meetPeers finds out which of them answer questions.
func (s *subject) meetPeers(ctx context.Context) (done func()) {
	s.reach = s.Peers.Reach
	done = func() {}
	if s.reach == nil {
		address, _ := s.address() // without one the kernel chooses
		client := reach.NewClient(address.addr(), s.Peers.Authorities)
		s.reach, done = client, client.Close
	}
	s.answering = nil
	if !slices.ContainsFunc(peerChecks(), func(c Check) bool { return !slices.Contains(s.Skip, c.Name) }) {
		return done // nobody would be asked anything
	}
	outcomes := s.connectAll(ctx, []int{layout.PortGardenlet})
	for at, server := range s.Peers.Addresses {
		if outcomes[at] == reach.Reached {
			s.answering = append(s.answering, server)
		}
	}
	return done
}

// connectAll tries the ports of each control plane node, all at once; the outcomes are in order of the addresses, then the ports.
func (s subject) connectAll(ctx context.Context, ports []int) []reach.Outcome {
	out := make([]reach.Outcome, len(s.Peers.Addresses)*len(ports))
	var all sync.WaitGroup
	for at := range out {
		to := netip.AddrPortFrom(s.Peers.Addresses[at/len(ports)], uint16(ports[at%len(ports)]))
		all.Go(func() { out[at] = s.reach.Connect(ctx, to) })
	}
	all.Wait()
	return out
}

// checkPeerPorts: one control plane node that is not reached leaves the others; a port that is reached nowhere leaves none. Without their
// kubelets a node works; metrics-server does not, should it run there.
func checkPeerPorts(ctx context.Context, s subject) (string, []Finding, error) {
	ports := []int{layout.PortAPIServer, layout.PortMirror, layout.PortGardenlet, layout.PortKubelet}
	outcomes := s.connectAll(ctx, ports)
	var findings []Finding
	for p, port := range ports {
		var missed []string
		for a, address := range s.Peers.Addresses {
			if outcome := outcomes[a*len(ports)+p]; outcome != reach.Reached {
				missed = append(missed, netip.AddrPortFrom(address, uint16(port)).String()+" ("+describe(outcome)+")")
			}
		}
		if len(missed) == 0 {
			continue
		}
		found := Finding{Warning, fault.New(fault.PortNotReached, "no connection to %s", strings.Join(missed, ", "))}
		if len(missed) == len(s.Peers.Addresses) && port != layout.PortKubelet {
			found.Severity = Failure
		}
		findings = append(findings, found)
	}
	return "ports 6443, 7444, 7445 and 10250 of " + names(s.Peers.Addresses), findings, nil
}

func describe(outcome reach.Outcome) string {
	switch outcome {
	case reach.Refused:
		return "refused: nothing listens there, or a firewall says so"
	case reach.TimedOut:
		return "nothing comes back: a firewall, or no such machine"
	case reach.Other:
		return "somebody else answers there"
	}
	return "no way there"
}

func names(addresses []netip.Addr) string {
	var out []string
	for _, address := range addresses {
		out = append(out, address.String())
	}
	return strings.Join(out, ", ")
}

// notAsked is what a check sees when nobody answers, which peer-ports tells.
const notAsked = "not tested: no control plane node answers on port 7445"

// notReachable says why nobody is asked to reach this machine; "" when somebody can be.
func (s subject) notReachable() string {
	if len(s.answering) == 0 {
		return notAsked
	}
	if _, err := s.address(); err != nil { // the check "node-address" tells why
		return "not tested: this machine has no address in the cluster"
	}
	return ""
}

// unasked is a warning for each server that could not be asked.
func unasked(err error) Finding {
	return warn(fault.New(fault.NotChecked, "%w", err).Mend("on the control plane node: gardenadm status; gardenadm logs gardenlet"))
}

// selfID is what tells this machine apart from others.
func (s subject) selfID(ctx context.Context) (reach.Identity, error) {
	const file = "/etc/machine-id"
	out := reach.Identity{Name: strings.ToLower(s.facts.HostName)}
	there, err := s.there(ctx, file)
	if err != nil || !there {
		return out, err
	}
	raw, err := s.Files.Read(ctx, file)
	if id := strings.TrimSpace(string(raw)); id != "uninitialized" { // systemd's word for a machine that boots for the first time
		out.MachineID = id
	}
	return out, err
}

// sortedUnique returns texts in order, each once.
func sortedUnique(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}
