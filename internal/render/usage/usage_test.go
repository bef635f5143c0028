package usage

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestContainersOfAllKindsAreFound(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers:      []corev1.Container{{Image: "a"}},
		Containers:          []corev1.Container{{Image: "b"}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Image: "c"}}},
		Volumes:             []corev1.Volume{{VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "d"}}}},
	}}
	got, err := OfObject(pod)
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), []string{"a", "b", "c", "d"}) {
		t.Errorf("got %v, %v", got, err)
	}
}
