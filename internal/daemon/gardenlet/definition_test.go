package gardenlet

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/kube/definition"
)

// TestLostDefinition: that nothing is done without it is told, once until it is back.
func TestLostDefinition(t *testing.T) {
	f := newFixture(t)
	told := func() int { return strings.Count(f.log.String(), "GA-2643") }
	for round := 1; round <= 2; round++ {
		must(t, f.api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: definition.Key().Namespace, Name: definition.Key().Name}}))
		f.see(t)
		for range 3 {
			if pools, err := f.definitions.pools(t.Context()); err != nil || len(pools) > 0 {
				t.Errorf("round %d: pools %v (%v)", round, pools, err)
			}
		}
		if told() != round {
			t.Errorf("round %d: told %d times\n%s", round, told(), f.log.String())
		}
		f.define(t)
		if pools, err := f.definitions.pools(t.Context()); err != nil || len(pools) != 2 {
			t.Errorf("round %d: pools %v (%v) though the definition is back", round, pools, err)
		}
	}
}
