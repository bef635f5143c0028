package sequence

import (
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// TestOnlyTheSameIsTriedAgain: a node that went back takes what it refused when that is wished for once more. While another definition is
// on its way it goes on refusing, or the old one would be taken in between.
func TestOnlyTheSameIsTriedAgain(t *testing.T) {
	_, i := bare(t)
	i.Cluster = componenttest.Cluster(t)
	same := definition.Definition{UID: i.Cluster.UID, Manifests: i.Cluster.Manifests, Images: i.Bundle.Vector()}
	other := same
	other.UID = "another"
	began := time.Now().Add(-time.Minute)
	must(t, agent.Refusal{StaticPods: "x", Because: "it ended", At: time.Now()}.Keep(t.Context(), i.Host))

	must(t, i.tryAgain(t.Context(), other))
	if found := fault.Of(hoststep.WentBack(t.Context(), i.Host, began)); len(found) != 1 || found[0].Code != fault.WentBack {
		t.Errorf("with another definition: %v", found)
	}
	if err := hoststep.WentBack(t.Context(), i.Host, time.Now().Add(time.Minute)); err != nil {
		t.Errorf("of a former run: %v", err)
	}
	must(t, i.tryAgain(t.Context(), same))
	if err := hoststep.WentBack(t.Context(), i.Host, began); err != nil {
		t.Errorf("with the same definition: %v", err)
	}
}
