package kubeproxy

import (
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestOnlyNFTablesDoesWithoutPrivileges(t *testing.T) {
	for mode, privileged := range map[gardencore.ProxyMode]bool{"NFTables": false, "IPTables": true, "IPVS": true, "": true} {
		c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
			shoot.Spec.Kubernetes.KubeProxy = &gardencore.KubeProxyConfig{Mode: ptr.To(mode)}
			if mode == "" {
				shoot.Spec.Kubernetes.KubeProxy = nil
			}
		})
		name := string(configuration(c).Mode)
		if got := ptr.Deref(security(name).Privileged, false); got != privileged {
			t.Errorf("mode %q (%s): privileged is %t, want %t", mode, name, got, privileged)
		}
	}
}

func TestNotWantedWhenDisabled(t *testing.T) {
	c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		shoot.Spec.Kubernetes.KubeProxy.Enabled = ptr.To(false)
	})
	if New().Wanted(c) {
		t.Error("kube-proxy is wanted although the Shoot disables it")
	}
}

func TestChangedConfigurationRollsPods(t *testing.T) {
	checksum := func(feature bool) string {
		files, err := files(componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
			shoot.Spec.Kubernetes.KubeProxy.FeatureGates = map[string]bool{"Feature": feature}
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
