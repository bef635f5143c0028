package osc_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

func TestEndpointProxy(t *testing.T) {
	full := build(t, input(t))
	golden.Equal(t, "testdata/api-proxy.socket", []byte(*unit(t, full, layout.UnitProxySocket).Content))
	golden.Equal(t, "testdata/api-proxy.service", []byte(*unit(t, full, layout.UnitProxy).Content))
	if authority := string(content(t, full, layout.FileClusterCA)); authority != "certificate of ca" {
		t.Errorf("the proxy believes %q", authority)
	}
	if watched := unit(t, full, layout.UnitProxy).FilePaths; !slices.Contains(watched, layout.FileClusterCA) {
		t.Errorf("a new authority is not read: %q", watched)
	}

	worker := build(t, asWorker(input(t)))
	if text := *unit(t, worker, layout.UnitProxy).Content; strings.Contains(text, "--local") {
		t.Errorf("a worker's proxy looks for an API server beside it:\n%s", text)
	}
	unit(t, worker, layout.UnitProxySocket)

	var order []string
	for _, one := range full.Spec.Units {
		order = append(order, one.Name)
	}
	if slices.Index(order, layout.UnitProxySocket) > slices.Index(order, layout.UnitProxy) || slices.Index(order, layout.UnitProxy) > slices.Index(order, layout.UnitContainerd) {
		t.Errorf("units start in the order %q", order)
	}
}
