package coredns

import (
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestSeveralNodesHaveTwoReplicas(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		worker := shoot.Spec.Provider.Workers[0]
		worker.Name, worker.ControlPlane = "worker", nil
		shoot.Spec.Provider.Workers = append(shoot.Spec.Provider.Workers, worker)
	})
	objects := componenttest.Objects(t, New(), componenttest.Input(c, nil))
	golden.Equal(t, "testdata/objects-two-replicas.yaml", golden.YAML(t, objects[len(objects)-2:]...))
}
