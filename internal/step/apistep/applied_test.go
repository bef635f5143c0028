package apistep_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/gardenadm/gardenadm/internal/step/apistep"
)

func TestApplied(t *testing.T) {
	for name, c := range map[string]struct{ has, want string }{
		"the same": {"sum", ""}, "an older one": {"before", "configuration sum"}, "none": {"", "configuration sum"},
	} {
		api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "osc", Annotations: map[string]string{"checksum/data-script": "sum"}}},
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cp-1", Annotations: map[string]string{"checksum/cloud-config-data": c.has}}},
		).Build()
		err := apistep.Applied(t.Context(), api, "cp-1", "osc")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
		if apistep.Applied(t.Context(), api, "cp-2", "osc") == nil {
			t.Error("a Node that is not there has applied it")
		}
	}
}
