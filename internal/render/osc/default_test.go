package osc_test

import (
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// documented are the defaults that Gardener's API documents for KubeletConfig.
const documented = `
evictionHard: {memoryAvailable: 100Mi, imageFSAvailable: 5%, imageFSInodesFree: 5%, nodeFSAvailable: 5%, nodeFSInodesFree: 5%}
evictionSoft: {memoryAvailable: 200Mi, imageFSAvailable: 10%, imageFSInodesFree: 10%, nodeFSAvailable: 10%, nodeFSInodesFree: 10%}
evictionSoftGracePeriod: {memoryAvailable: 1m30s, imageFSAvailable: 1m30s, imageFSInodesFree: 1m30s, nodeFSAvailable: 1m30s, nodeFSInodesFree: 1m30s}
evictionMaxPodGracePeriod: 90
evictionPressureTransitionPeriod: 4m0s
maxPods: 110
failSwapOn: true
kubeReserved: {cpu: 80m, memory: 1Gi, pid: 20k}
imageGCHighThresholdPercent: 50
imageGCLowThresholdPercent: 40
serializeImagePulls: true
containerLogMaxSize: 100Mi
protectKernelDefaults: true
streamingConnectionIdleTimeout: 5m0s
imageMinimumGCAge: 2m0s
imageMaximumGCAge: 0s
`

// TestNoDefaultDiffersFromGardeners unless it stands in the Shoot: with Gardener's defaults for all that the Shoot leaves open,
// kubelet's configuration is the same. Not among them are those that are kubelet's own, and that we leave to it, too:
// evictionMinimumReclaim, registryPullQPS, registryBurst.
func TestNoDefaultDiffersFromGardeners(t *testing.T) {
	in := input(t)
	ours := content(t, build(t, in), layout.FileKubeletConfig)
	own, err := yaml.Marshal(in.Cluster.Shoot.Spec.Kubernetes.Kubelet)
	if err != nil {
		t.Fatal(err)
	}
	filled := &gardencore.KubeletConfig{}
	for _, layer := range [][]byte{[]byte(documented), own} {
		if err := yaml.UnmarshalStrict(layer, filled); err != nil {
			t.Fatal(err)
		}
	}
	in.Cluster.Shoot.Spec.Kubernetes.Kubelet = filled
	theirs := content(t, build(t, in), layout.FileKubeletConfig)
	if diff := cmp.Diff(string(theirs), string(ours)); diff != "" {
		t.Errorf("-Gardener's +ours:\n%s", diff)
	}
}
