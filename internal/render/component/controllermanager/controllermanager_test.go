package controllermanager

import (
	"slices"
	"testing"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestShootSettingsBecomeFlags(t *testing.T) {
	got := flags(componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
		shoot.Spec.Kubernetes.KubeControllerManager = &gardencore.KubeControllerManagerConfig{
			KubernetesConfig:       gardencore.KubernetesConfig{FeatureGates: map[string]bool{"HPAScaleToZero": false, "AllAlpha": true}},
			NodeCIDRMaskSize:       ptr.To[int32](25),
			NodeMonitorGracePeriod: &metav1.Duration{Duration: 90 * time.Second},
			HorizontalPodAutoscalerConfig: &gardencore.HorizontalPodAutoscalerConfig{
				SyncPeriod: &metav1.Duration{Duration: 20 * time.Second}, Tolerance: ptr.To(0.2),
			},
		}
	}))
	for _, want := range []string{
		"--feature-gates=AllAlpha=true,HPAScaleToZero=false",
		"--horizontal-pod-autoscaler-sync-period=20s",
		"--horizontal-pod-autoscaler-tolerance=0.2",
		"--node-cidr-mask-size=25",
		"--node-monitor-grace-period=1m30s",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("flag %s is missing in %q", want, got)
		}
	}
}
