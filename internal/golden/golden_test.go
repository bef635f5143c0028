package golden_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/golden"
)

func TestYAML(t *testing.T) {
	large := int64(9007199254740993)
	got := golden.YAML(t,
		&appsv1.Deployment{
			TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
			ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				ActiveDeadlineSeconds: &large,
			}}},
		},
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Name: "settings"},
			Data:       map[string]string{"b": "2", "a": "one\ntwo\n"},
		})
	golden.Equal(t, "testdata/objects.yaml", got)
}
