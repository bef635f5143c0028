package hosttest

import (
	"context"
	"errors"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// run runs a program that must succeed.
func run(t *testing.T, h *host.Host, program string, arguments ...string) {
	t.Helper()
	if _, err := h.Runner.Run(t.Context(), host.Command{Path: program, Args: arguments}); err != nil {
		t.Fatal(err)
	}
}

// got is a value that must be had without an error.
func got[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// twice does what must be fine a second time, too.
func twice(t *testing.T, do func() error) {
	t.Helper()
	for range 2 {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

// cancelled checks that calls with a context that has ended say so.
func cancelled(t *testing.T, calls ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i, call := range calls {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled call %d gives error %v", i, err)
		}
	}
}

func checkLinks(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	checkEnsureAddress(t, h)
	list := func() []host.Link { return got[[]host.Link](t)(h.Links.List(ctx)) }
	hops := func() []host.Hop { return got[[]host.Hop](t)(h.Links.Hops(ctx)) }
	if !slices.Contains(list(), host.Link{Name: "lo", Kind: "device"}) {
		t.Errorf("links %+v: want lo", list())
	}
	run(t, h, "ip", "link", "add", "conf-bridge", "type", "bridge")
	run(t, h, "ip", "link", "add", "conf-veth", "type", "veth", "peer", "name", "conf-peer")
	run(t, h, "ip", "link", "set", "conf-veth", "master", "conf-bridge")
	run(t, h, "ip", "link", "set", "conf-bridge", "up")
	run(t, h, "ip", "address", "add", "198.18.1.1/24", "dev", "conf-bridge")
	run(t, h, "ip", "address", "add", "240.0.0.1/32", "dev", "conf-bridge")
	run(t, h, "ip", "route", "add", "198.18.2.0/24", "dev", "conf-bridge", "proto", "static")

	for _, want := range []host.Link{{Name: "conf-bridge", Kind: "bridge"}, {Name: "conf-veth", Kind: "veth", Master: "conf-bridge"}} {
		if !slices.Contains(list(), want) {
			t.Errorf("links %+v: want %+v", list(), want)
		}
	}
	static := host.Hop{Table: 254, Destination: netip.MustParsePrefix("198.18.2.0/24"), Link: "conf-bridge", Protocol: "static"}
	if !slices.Contains(hops(), static) || !slices.IsSortedFunc(hops(), host.CompareHops) {
		t.Errorf("routes %+v: want %+v, in order", hops(), static)
	}
	twice(t, func() error { return h.Links.DeleteHop(ctx, static) })
	if slices.Contains(hops(), static) {
		t.Errorf("routes %+v after one was deleted", hops())
	}
	connected := func(h host.Hop) bool {
		return h.Destination == netip.MustParsePrefix("198.18.1.0/24") && h.Protocol == "kernel"
	}
	if !slices.ContainsFunc(hops(), connected) {
		t.Errorf("routes %+v: the one of the link's own network is gone", hops())
	}
	twice(t, func() error {
		return h.Links.DeleteAddress(ctx, "conf-bridge", netip.MustParsePrefix("240.0.0.1/32"))
	})
	addresses := got[[]host.Address](t)(h.Network.Addresses(ctx))
	of := func(prefix string) bool {
		return slices.ContainsFunc(addresses, func(a host.Address) bool { return a.Prefix == netip.MustParsePrefix(prefix) })
	}
	if of("240.0.0.1/32") || !of("198.18.1.1/24") {
		t.Errorf("addresses %+v after one was deleted", addresses)
	}
	if err := h.Links.DeleteAddress(ctx, "conf-none", netip.MustParsePrefix("240.0.0.1/32")); err != nil {
		t.Errorf("an address of a missing link: %v", err)
	}

	twice(t, func() error { return h.Links.Delete(ctx, "conf-bridge") })
	if links := list(); !slices.Contains(links, host.Link{Name: "conf-veth", Kind: "veth"}) {
		t.Errorf("links %+v: want the bridge's port, let go", links)
	}
	twice(t, func() error { return h.Links.Delete(ctx, "conf-veth") })
	if links := list(); slices.ContainsFunc(links, func(l host.Link) bool { return strings.HasPrefix(l.Name, "conf-") }) {
		t.Errorf("links %+v: something is left", links)
	}
	if rules := got[[]string](t)(h.Links.Rules(ctx)); len(rules) < 2 || !strings.Contains(strings.Join(rules, "\n"), "from all lookup 254") {
		t.Errorf("rules are %q, want the one of the main table among them", rules)
	}
	cancelled(t,
		func(ctx context.Context) error { _, err := h.Links.List(ctx); return err },
		func(ctx context.Context) error { _, err := h.Links.Hops(ctx); return err },
		func(ctx context.Context) error { return h.Links.Delete(ctx, "conf-none") },
		func(ctx context.Context) error { return h.Links.DeleteHop(ctx, static) })
}

func checkTables(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	list := got[[]host.Table](t)(h.Tables.List(ctx))
	if !slices.IsSortedFunc(list, host.CompareTables) {
		t.Errorf("tables %+v are not in order", list)
	}
	twice(t, func() error { return h.Tables.Delete(ctx, "inet", "gardenadm-conformance-none") })
	cancelled(t,
		func(ctx context.Context) error { _, err := h.Tables.List(ctx); return err },
		func(ctx context.Context) error { return h.Tables.Delete(ctx, "ip", "none") })
}

func checkMounts(t *testing.T, h *host.Host, dir string) {
	ctx := t.Context()
	point := path.Join(dir, "mounted/with space")
	at := func() []host.Mount {
		return slices.DeleteFunc(got[[]host.Mount](t)(h.Mounts.List(ctx)), func(m host.Mount) bool { return m.Path != point })
	}
	if err := h.Files.MakeDir(ctx, point, host.Owner{}, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one over the other
		run(t, h, "mount", "-t", "tmpfs", "conformance", point)
	}
	want := host.Mount{Path: point, Type: "tmpfs", Source: "conformance"}
	if have := at(); !slices.Equal(have, []host.Mount{want, want}) {
		t.Errorf("mounts there are %+v", have)
	}
	if err := h.Files.Remove(ctx, path.Dir(point)); err == nil {
		t.Error("a mount point is removed")
	}
	for left := 1; left >= 0; left-- {
		if err := h.Mounts.Unmount(ctx, point); err != nil {
			t.Fatal(err)
		}
		if have := at(); len(have) != left {
			t.Errorf("mounts there are %+v, want %d", have, left)
		}
	}
	if err := h.Mounts.Unmount(ctx, point); err != nil {
		t.Errorf("nothing is mounted there: %v", err)
	}
	if err := h.Mounts.Unmount(ctx, path.Join(dir, "never/was")); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	if err := h.Files.Remove(ctx, path.Dir(point)); err != nil {
		t.Error(err)
	}
	cancelled(t,
		func(ctx context.Context) error { _, err := h.Mounts.List(ctx); return err },
		func(ctx context.Context) error { return h.Mounts.Unmount(ctx, point) })
}
