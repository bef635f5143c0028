package osc_test

import (
	"testing"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

// TestMostFields shows what comes of a Shoot that says something about nearly everything.
func TestMostFields(t *testing.T) {
	in := input(t)
	in.Cluster = componenttest.MostFields(t)
	in.Pool = in.Cluster.ControlPlane
	in.Nodes[0].Pool = in.Pool.Name
	in.StaticPods = map[string][]staticpod.Pod{}
	full := build(t, in)
	golden.Equal(t, "testdata/most-fields-kubelet.yaml", content(t, full, layout.FileKubeletConfig))
	golden.Equal(t, "testdata/most-fields-kubelet.service", []byte(*unit(t, full, layout.UnitKubelet).Content))
	golden.Equal(t, "testdata/most-fields-sysctl.conf", content(t, full, layout.FileSysctl))
	if key, err := osc.Key(in.Cluster, in.Pool); err != nil || key != "gardener-node-agent-machine" {
		t.Errorf("a pool that is updated in place has the key %q, %v", key, err)
	}
}
