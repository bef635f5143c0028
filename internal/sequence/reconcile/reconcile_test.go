package reconcile_test

import (
	"testing"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/sequence/reconcile"
)

func TestGraph(t *testing.T) {
	golden.Equal(t, "testdata/reconcile.txt", []byte(reconcile.Graph(reconcile.Input{}).String()))
}
