package coredns

import (
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestSeveralNodesHaveTwoReplicas(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		worker := shoot.Spec.Provider.Workers[0]
		worker.Name, worker.ControlPlane = "more", nil
		shoot.Spec.Provider.Workers = append(shoot.Spec.Provider.Workers, worker)
	})
	objects := componenttest.Objects(t, New(), componenttest.Input(c, nil))
	golden.Equal(t, "testdata/objects-two-replicas.yaml", golden.YAML(t, objects[len(objects)-2:]...))
}

// TestTaintsOfPoolsThatAllowSystemComponents are tolerated, and no others.
func TestTaintsOfPoolsThatAllowSystemComponents(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		first := &shoot.Spec.Provider.Workers[0]
		first.Taints = []corev1.Taint{{Key: "allowed", Value: "v", Effect: corev1.TaintEffectNoSchedule}}
		other := *first.DeepCopy()
		other.Name, other.ControlPlane = "other", nil
		other.Taints[0].Key = "forbidden"
		other.SystemComponents = &gardencore.WorkerSystemComponents{Allow: false}
		shoot.Spec.Provider.Workers = append(shoot.Spec.Provider.Workers, other)
	})
	got := deployment(c, "ref", nil).Spec.Template.Spec.Tolerations
	for key, want := range map[string]bool{"allowed": true, "forbidden": false} {
		if slices.ContainsFunc(got, func(one corev1.Toleration) bool { return one.Key == key }) != want {
			t.Errorf("toleration of %s: want %t in %v", key, want, got)
		}
	}
}

func TestRewritingTakesASuffixWithADot(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		shoot.Spec.SystemComponents = &gardencore.SystemComponents{CoreDNS: &gardencore.CoreDNS{
			Rewriting: &gardencore.CoreDNSRewriting{CommonSuffixes: []string{".example.com"}},
		}}
	})
	const services, suffix = `^(.+\.svc\.cluster\.local)\.svc\.cluster\.local\.$ {1}.`, `^(.+\.example\.com)\.svc\.cluster\.local\.$ {1}.`
	if text := corefile(c); !strings.Contains(text, services) || !strings.Contains(text, suffix) {
		t.Errorf("got %s", text)
	}
}
