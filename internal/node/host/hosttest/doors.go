package hosttest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// networkDoor is the door to the fake's links and routes.
type networkDoor struct{ fake *Fake }

func (d networkDoor) Addresses(ctx context.Context) ([]host.Address, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "addresses"); err != nil {
		return nil, err
	}
	return slices.Clone(d.fake.addresses), nil
}

func (d networkDoor) DefaultSource(ctx context.Context) (netip.Addr, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "default source"); err != nil {
		return netip.Addr{}, err
	}
	return d.fake.source, nil
}

func (d networkDoor) Routes(ctx context.Context) ([]host.Route, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "routes"); err != nil {
		return nil, err
	}
	routes := slices.Clone(d.fake.routes)
	slices.SortStableFunc(routes, host.CompareRoutes)
	return routes, nil
}

func (d networkDoor) EnsureRoute(ctx context.Context, route host.Route) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	line := fmt.Sprintf("route %s dev %s", route.Destination, route.Link)
	if route.Source.IsValid() {
		line += " src " + route.Source.String()
	}
	if err := d.fake.change(ctx, line); err != nil {
		return err
	}
	if !slices.ContainsFunc(d.fake.addresses, func(a host.Address) bool { return a.Link == route.Link }) {
		return fmt.Errorf("make route to %s over %s: link not found", route.Destination, route.Link)
	}
	route.Destination = route.Destination.Masked()
	d.fake.routes = slices.DeleteFunc(d.fake.routes, func(r host.Route) bool { return r.Destination == route.Destination })
	d.fake.routes = append(d.fake.routes, route)
	return nil
}

func (d networkDoor) EnsureAddress(ctx context.Context, link string, prefix netip.Prefix) error {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, fmt.Sprintf("address %s dev %s", prefix, link)); err != nil {
		return err
	}
	of := func(a host.Address) bool { return a.Link == link }
	at := slices.IndexFunc(d.fake.addresses, of)
	if at < 0 {
		return fmt.Errorf("give %s the address %s: link not found", link, prefix)
	}
	if !slices.ContainsFunc(d.fake.addresses, func(a host.Address) bool { return of(a) && a.Prefix == prefix }) {
		there := d.fake.addresses[at]
		there.Prefix = prefix
		d.fake.addresses = slices.Insert(d.fake.addresses, at+1, there)
	}
	return nil
}

// runnerDoor is the door to the fake's programs.
type runnerDoor struct{ fake *Fake }

func (d runnerDoor) Run(ctx context.Context, command host.Command) (host.Output, error) {
	program, err := d.program(ctx, command)
	if err != nil {
		return host.Output{}, err
	}
	// Outside of the lock, because the program may use the machine.
	return program(ctx, command)
}

func (d runnerDoor) program(ctx context.Context, command host.Command) (Program, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.change(ctx, strings.Join(append([]string{"run", command.Path}, command.Args...), " ")); err != nil {
		return nil, err
	}
	program := d.fake.programs[command.Path]
	if program == nil {
		return nil, &host.RunError{Program: command.Path, ExitCode: -1, Cause: host.ErrNoProgram}
	}
	return program, nil
}

// proberDoor is the door to the fake's facts.
type proberDoor struct{ fake *Fake }

func (d proberDoor) Probe(ctx context.Context) (host.Facts, error) {
	d.fake.mu.Lock()
	defer d.fake.mu.Unlock()
	if err := d.fake.look(ctx, "probe"); err != nil {
		return host.Facts{}, err
	}
	facts := d.fake.facts
	facts.Nameservers = slices.Clone(facts.Nameservers)
	return facts, nil
}
