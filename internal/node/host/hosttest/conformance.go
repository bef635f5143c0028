package hosttest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Part is what of a host is checked.
type Part string

const (
	Files   Part = "Files"   // needs root, which owns the files it makes
	Runner  Part = "Runner"  // runs echo, cat, env, sh and sleep of /bin or /usr/bin
	Network Part = "Network" // reads only
	Routes  Part = "Routes"  // leaves a route to 198.18.0.0/24 behind
	Prober  Part = "Prober"
	// Inspector needs root for namespaces and mounts of its own
	Inspector Part = "Inspector"
	Units     Part = "Units"    // makes units called gardenadm-conformance-… and removes them
	Observer  Part = "Observer" // needs root; reads but for one file
	Images    Part = "Images"   // leaves images of registry.invalid behind

	Links     Part = "Links"  // needs a network namespace of its own and the program ip
	Tables    Part = "Tables" // needs root; reads only
	Mounts    Part = "Mounts" // needs mounts of its own and the program mount
	Processes Part = "Processes"
	Kernel    Part = "Kernel" // needs root; changes nothing
	Trees     Part = "Trees"  // needs root
	UnitTable Part = "UnitTable"
	Runtime   Part = "Runtime" // after Images, of whose images it removes one
	Service   Part = "Service" // needs a systemd that takes the caller for a service
)

// Conformance checks what the interfaces of package host promise, on the machine that open leads to. Dir is an absolute
// path that the check may make and fill; parts are those that the machine can be used for.
func Conformance(t *testing.T, open func(*testing.T) *host.Host, dir string, parts ...Part) {
	check := map[Part]func(*testing.T, *host.Host, string){
		Files: checkFiles, Runner: checkRunner, Network: checkNetwork, Routes: checkRoutes, Prober: checkProber, Inspector: checkInspector, Units: checkUnits, Images: checkImages, Observer: checkObserver,
		Links: checkLinks, Tables: checkTables, Mounts: checkMounts, Processes: checkProcesses, Kernel: checkKernel, Trees: checkTrees,
		UnitTable: checkUnitTable, Runtime: checkRuntime, Service: checkService,
	}
	for _, part := range parts {
		t.Run(string(part), func(t *testing.T) {
			h := open(t)
			t.Cleanup(func() {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			})
			check[part](t, h, dir)
		})
	}
}

func checkRunner(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	run := func(command host.Command) host.Output {
		t.Helper()
		output, err := h.Runner.Run(ctx, command)
		if err != nil {
			t.Fatal(err)
		}
		return output
	}
	if got := string(run(host.Command{Path: "echo", Args: []string{"a b", "$HOME"}}).Stdout); got != "a b $HOME\n" {
		t.Errorf("arguments are passed on as %q: there must be no shell", got)
	}
	if got := string(run(host.Command{Path: "/bin/cat", Stdin: strings.NewReader("input")}).Stdout); got != "input" {
		t.Errorf("standard input is passed on as %q", got)
	}
	t.Setenv("GARDENADM_CONFORMANCE_LEAK", "x")
	environment := strings.Split(strings.TrimSpace(string(run(host.Command{Path: "env", Env: []string{"A=1"}}).Stdout)), "\n")
	slices.Sort(environment)
	if len(environment) != 2 || environment[0] != "A=1" || !strings.HasPrefix(environment[1], "PATH=") {
		t.Errorf("the environment is %q, want PATH and A alone", environment)
	}

	script := host.Command{Path: "/bin/sh", Args: []string{"-c", "echo out; echo bad >&2; exit 3", "argument-secret"}, Env: []string{"S=env-secret"}}
	output, err := h.Runner.Run(ctx, script)
	failure, ok := errors.AsType[*host.RunError](err)
	if !ok || failure.ExitCode != 3 || failure.Stderr != "bad" || !strings.Contains(err.Error(), "bad") {
		t.Errorf("a failing program gives error %#v", err)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells arguments or environment: %v", err)
	}
	if string(output.Stdout) != "out\n" || string(output.Stderr) != "bad\n" {
		t.Errorf("the output of a failing program is %q and %q", output.Stdout, output.Stderr)
	}
	_, err = h.Runner.Run(ctx, host.Command{Path: "/nonexistent/program"})
	if failure, ok := errors.AsType[*host.RunError](err); !ok || failure.ExitCode != -1 {
		t.Errorf("a missing program gives error %#v", err)
	}
	if _, err = h.Runner.Run(ctx, host.Command{Path: "no-such-program"}); !errors.Is(err, host.ErrNoProgram) {
		t.Errorf("a name that no program has gives error %#v", err)
	}

	stopped, stop := context.WithCancel(ctx)
	defer stop()
	time.AfterFunc(100*time.Millisecond, stop)
	// The shell's child holds stdout: waiting for the shell alone would take a minute.
	if _, err := h.Runner.Run(stopped, host.Command{Path: "/bin/sh", Args: []string{"-c", "sleep 60; true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled program gives error %v", err)
	}
}

func checkNetwork(t *testing.T, h *host.Host, _ string) {
	addresses, err := h.Network.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loopback := netip.MustParsePrefix("127.0.0.1/8")
	at := slices.IndexFunc(addresses, func(a host.Address) bool { return a.Prefix == loopback })
	if at < 0 || addresses[at].Physical || !addresses[at].Up {
		t.Errorf("addresses %+v: want %s, up and not physical", addresses, loopback)
	}
	physical := slices.ContainsFunc(addresses, func(a host.Address) bool { return a.Physical && a.Up })
	if !physical {
		t.Errorf("addresses %+v: want one on a physical link that is up", addresses)
	}
	source, err := h.Network.DefaultSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if source.IsValid() && !slices.ContainsFunc(addresses, func(a host.Address) bool { return a.Prefix.Addr() == source }) {
		t.Errorf("default source %s is not among the addresses %+v", source, addresses)
	}
	routes, err := h.Network.Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(routes, host.CompareRoutes) {
		t.Errorf("routes %+v are not sorted", routes)
	}
	for _, route := range routes {
		if !route.Destination.IsValid() || route.Destination.Bits() == 0 {
			t.Errorf("route %+v has no destination", route)
		}
	}
}

func checkRoutes(t *testing.T, h *host.Host, _ string) {
	addresses, err := h.Network.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(addresses, func(a host.Address) bool { return a.Physical && a.Up && a.Prefix.Addr().Is4() })
	if at < 0 {
		t.Fatalf("addresses %+v: no link to make a route over", addresses)
	}
	want := host.Route{Destination: netip.MustParsePrefix("198.18.0.0/24"), Link: addresses[at].Link}
	// First without, then with a source; each twice, because all steps are run again.
	for _, source := range []netip.Addr{{}, {}, addresses[at].Prefix.Addr(), addresses[at].Prefix.Addr()} {
		want.Source = source
		if err := h.Network.EnsureRoute(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		routes, err := h.Network.Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var found []host.Route
		for _, route := range routes {
			if route.Destination == want.Destination {
				found = append(found, route)
			}
		}
		if len(found) != 1 || found[0] != want {
			t.Errorf("routes to %s are %+v, want %+v alone", want.Destination, found, want)
		}
	}
	want.Link = "no-such-link"
	if err := h.Network.EnsureRoute(t.Context(), want); err == nil {
		t.Error("a route over a missing link gives no error")
	}
}

func checkEnsureAddress(t *testing.T, h *host.Host) {
	ctx, prefix := t.Context(), netip.MustParsePrefix("240.0.0.9/32")
	count := func() int {
		addresses := got[[]host.Address](t)(h.Network.Addresses(ctx))
		return len(slices.DeleteFunc(addresses, func(a host.Address) bool { return a.Link != "lo" || a.Prefix != prefix }))
	}
	twice(t, func() error { return h.Network.EnsureAddress(ctx, "lo", prefix) })
	if count() != 1 {
		t.Errorf("lo has %s %d times", prefix, count())
	}
	if err := h.Links.DeleteAddress(ctx, "lo", prefix); err != nil || count() != 0 {
		t.Errorf("it is not taken away again: %v", err)
	}
	if err := h.Network.EnsureAddress(ctx, "no-such-link", prefix); err == nil {
		t.Error("an address on a missing link gives no error")
	}
	cancelled(t, func(ctx context.Context) error { return h.Network.EnsureAddress(ctx, "lo", prefix) })
}

func checkProber(t *testing.T, h *host.Host, _ string) {
	first, err := h.Prober.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.HostName == "" || first.Architecture == "" || first.Kernel == "" || first.Memory == 0 || first.CPUs == 0 || first.Now.IsZero() {
		t.Errorf("facts %+v are not complete", first)
	}
	if first.CgroupVersion != 1 && first.CgroupVersion != 2 {
		t.Errorf("cgroup version is %d", first.CgroupVersion)
	}
	second, err := h.Prober.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.Now = second.Now
	if got, want := fmt.Sprint(second), fmt.Sprint(first); got != want {
		t.Errorf("probed again: %s, first %s", got, want)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Prober.Probe(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled probe gives error %v", err)
	}
}
