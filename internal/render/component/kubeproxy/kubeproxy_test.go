package kubeproxy

import (
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestNotWantedWhenDisabled(t *testing.T) {
	c := componenttest.Cluster(t)
	c.Shoot.Spec.Kubernetes.KubeProxy.Enabled = ptr.To(false) // refused as long as flannel is the only network
	if New().Wanted(c) {
		t.Error("kube-proxy is wanted although the Shoot disables it")
	}
}

func TestChangedConfigurationRollsPods(t *testing.T) {
	checksum := func(feature bool) string {
		files, err := files(componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
			shoot.Spec.Kubernetes.KubeProxy.FeatureGates = map[string]bool{"AllAlpha": feature}
		}))
		if err != nil {
			t.Fatal(err)
		}
		return addon.Checksum(addon.ConfigMap(name, files))[addon.AnnotationChecksum]
	}
	if checksum(true) == checksum(false) {
		t.Error("two configurations have one checksum")
	}
}
