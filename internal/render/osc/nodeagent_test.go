package osc_test

import (
	"testing"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

func TestNodeAgentGolden(t *testing.T) {
	full := build(t, input(t))
	golden.Equal(t, "testdata/node-agent.yaml", content(t, full, layout.FileAgentConfig))
	golden.Equal(t, "testdata/node-agent.service", []byte(*unit(t, full, layout.UnitNodeAgent).Content))
	if units := full.Spec.Units; units[len(units)-1].Name != layout.UnitNodeAgent {
		t.Errorf("the last unit is %s: an agent that is started before the others interferes", units[len(units)-1].Name)
	}
}

// TestNodeAgentOfAPool: each pool's agents read their own Secret, and nothing more is in their configuration that differs.
func TestNodeAgentOfAPool(t *testing.T) {
	in := input(t)
	in.Pool = cluster.Pool{Name: "workers", Worker: gardencore.Worker{Name: "workers"}}
	in.Nodes, in.StaticPods = nil, nil
	var config nodeagentv1alpha1.NodeAgentConfiguration
	if err := yaml.UnmarshalStrict(content(t, build(t, in), layout.FileAgentConfig), &config); err != nil {
		t.Fatal(err)
	}
	key, err := osc.Key(in.Cluster, in.Pool)
	if err != nil {
		t.Fatal(err)
	}
	of := config.Controllers.OperatingSystemConfig
	if of.SecretName != key || of.KubernetesVersion.String() != in.Cluster.KubeletVersion(in.Pool) || config.APIServer.Server != in.Cluster.NodeServer() {
		t.Errorf("got %+v and %+v", of, config.APIServer)
	}
}
