// Package preflight turns what a machine is, has and can do into named findings that say what must be mended before anything is changed.
// Used by the host steps of init and by gardenadm preflight.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Check is one named check of a machine.
type Check struct {
	Name string
	// Only names the role for which the check is made; empty means every one.
	Only Role
	// Root: without it the check would only find that it may not look.
	Root bool
	// Run returns what it saw, and what is not as it should be; an error says that it could not look.
	Run func(context.Context, subject) (seen string, findings []Finding, err error)
}

// Severity of a finding.
type Severity string

// A failure keeps init from starting, a warning does not.
const (
	Warning Severity = "warning"
	Failure Severity = "failure"
)

// Finding is something that is not as it should be.
type Finding struct {
	Severity Severity
	Fault    *fault.Error
}

func warn(f *fault.Error) Finding { return Finding{Warning, f} }
func fail(f *fault.Error) Finding { return Finding{Failure, f} }

// Input is what the checks are to know of the wanted cluster.
type Input struct {
	// Role is what the machine is to be.
	Role Role
	// Peers are the cluster to join; nil for a first machine.
	Peers *Peers
	// NodeIP is the wanted address; the zero Addr lets the rules choose.
	NodeIP netip.Addr
	// Networks are those that the cluster makes: pods and services.
	Networks []Network
	// Architecture is that of the cluster's machines, as in GOARCH; "" leaves it open.
	Architecture string
	// SwapAllowed: the kubelet will start with swap on (failSwapOn: false).
	SwapAllowed bool
	// NotBefore is a time that has surely passed, for example that of the program's build.
	NotBefore time.Time
	// SyncTest is how long the disk is measured.
	SyncTest time.Duration
	// Skip names checks that are not made.
	Skip []string
}

// Network is a network of the cluster.
type Network struct {
	Name   string
	Prefix netip.Prefix
}

// subject is the machine that is checked, with what most checks ask for.
type subject struct {
	Input
	*host.Host
	facts     host.Facts
	addresses []host.Address
	routes    []host.Route
	source    netip.Addr // of the default route
	// own: this machine has an identity that an earlier run made here, so what init makes may be there already.
	own bool

	reach     Reach        // of the peers
	answering []netip.Addr // the peers that answer questions
}

// limit is for each check, and for the facts before them.
const limit = 5 * time.Second

// Run makes all checks, those of the machine at once and then those towards its peers, and reports all that they found. The error is one of looking at the machine at all, or an
// unknown name in Skip.
func Run(ctx context.Context, h *host.Host, in Input) (Report, error) {
	for _, name := range in.Skip {
		if !slices.Contains(Names(), name) {
			return Report{}, fault.New(fault.BadFlag, "there is no check %q; the checks are %s", name, strings.Join(Names(), ", "))
		}
	}
	about, err := bounded(ctx, func(ctx context.Context) (subject, error) { return look(ctx, h, in) })
	if err != nil {
		return Report{}, fmt.Errorf("look at this machine: %w", err)
	}
	report := Report{Facts: about.facts}
	report.Address, _ = about.address() // the check "node-address" tells why there is none
	report.Results = about.make(ctx, machineChecks())
	if in.Peers != nil {
		done := about.meetPeers(ctx)
		defer done()
		report.Results = append(report.Results, about.make(ctx, peerChecks())...)
	}
	return report, ctx.Err()
}

// make makes checks at once, those that are for the machine's role.
func (s subject) make(ctx context.Context, checks []Check) []Result {
	checks = slices.DeleteFunc(checks, func(c Check) bool { return c.Only != "" && !s.Role.is(c.Only) })
	out := make([]Result, len(checks))
	var all sync.WaitGroup
	for at, check := range checks {
		all.Go(func() { out[at] = check.result(ctx, s) })
	}
	all.Wait()
	return out
}

// look asks for what most checks need.
func look(ctx context.Context, h *host.Host, in Input) (subject, error) {
	out := subject{Input: in, Host: h}
	var err error
	if out.facts, err = h.Prober.Probe(ctx); err != nil {
		return out, err
	}
	if out.addresses, err = h.Network.Addresses(ctx); err != nil {
		return out, err
	}
	if out.routes, err = h.Network.Routes(ctx); err != nil {
		return out, err
	}
	if out.source, err = h.Network.DefaultSource(ctx); err != nil {
		return out, err
	}
	out.own, err = out.there(ctx, in.Role.sign())
	if !out.facts.Root && err != nil {
		err = nil // others may not look into the directory, and are not asked what depends on it
	}
	return out, err
}

func (s subject) address() (NodeAddress, error) {
	return ChooseNodeAddress(s.addresses, s.source, s.NodeIP)
}

// result makes the check, within its time.
func (c Check) result(ctx context.Context, s subject) Result {
	out := Result{Name: c.Name}
	switch {
	case slices.Contains(s.Skip, c.Name):
		out.Skipped = true
		return out
	case c.Root && !s.facts.Root:
		out.Findings = []Finding{warn(fault.New(fault.NotChecked, "only root can check this").Mend("run the command as root"))}
		return out
	}
	type answer struct {
		seen     string
		findings []Finding
	}
	got, err := bounded(ctx, func(ctx context.Context) (answer, error) {
		seen, findings, err := c.Run(ctx, s)
		return answer{seen, findings}, err
	})
	out.Seen, out.Findings = got.seen, got.findings
	if err != nil {
		out.Findings = append(out.Findings, warn(fault.New(fault.NotChecked, "check %s: %w", c.Name, err)))
	}
	return out
}

// bounded gives up on what does not end in time, also on what does not listen to its context: a call into a dead network file
// system never returns.
func bounded[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errors.New("no answer within "+limit.String()))
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := do(ctx)
		done <- answer{value, err}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
