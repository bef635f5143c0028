package hoststep

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

func TestSeedEndpoints(t *testing.T) {
	server := func(name, address string) endpoint.Server {
		return APIServer(cluster.Node{Name: name, Addresses: []netip.Addr{netip.MustParseAddr(address)}})
	}
	for name, test := range map[string]struct {
		there, want string // what the file names
		written     bool
	}{
		"nothing there": {"", "10.0.0.1:6443", true},
		"a newer list":  {`{"list":{"generation":1,"sequence":9,"servers":[{"node":"b","addresses":["10.0.0.2:6443"]}]}}`, "10.0.0.2:6443", false},
		"damaged":       {"{", "10.0.0.1:6443", true},
	} {
		t.Run(name, func(t *testing.T) {
			h, ctx := hosttest.New().Host(), t.Context()
			if test.there != "" {
				if err := h.Files.Write(ctx, layout.FileEndpoints, strings.NewReader(test.there), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if written, err := SeedEndpoints(ctx, h, server("a", "10.0.0.1")); err != nil || written != test.written {
				t.Fatalf("wrote one: %v, %v", written, err)
			}
			raw, err := h.Files.Read(ctx, layout.FileEndpoints)
			if err != nil {
				t.Fatal(err)
			}
			known, err := endpoint.DecodeKnown(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := known.List.Servers[0].Addresses[0].String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if _, err := SeedEndpoints(t.Context(), hosttest.New().Host()); err == nil {
		t.Error("a list without servers was written")
	}
}
