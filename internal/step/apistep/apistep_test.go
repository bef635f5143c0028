package apistep_test

import (
	"maps"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
)

// TestLabelControlPlane: what others gave the node stays.
func TestLabelControlPlane(t *testing.T) {
	for name, test := range map[string]struct{ annotations, want map[string]string }{
		"none": {nil, map[string]string{"other": "x"}},
		"some": {map[string]string{"example.com/owner": "me"}, map[string]string{"other": "x", "example.com/owner": "me"}},
	} {
		t.Run(name, func(t *testing.T) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
				Name: "n", Labels: map[string]string{"mine": "x"}, Annotations: map[string]string{"other": "x"},
			}}
			api := &kube.Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(node).Build()}
			pool := cluster.Pool{Worker: gardencore.Worker{Annotations: test.annotations}}
			if err := apistep.LabelControlPlane(t.Context(), api, pool, cluster.Node{Name: "n"}); err != nil {
				t.Fatal(err)
			}
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(node), node); err != nil {
				t.Fatal(err)
			}
			if want := map[string]string{"mine": "x", "node-role.kubernetes.io/control-plane": ""}; !maps.Equal(node.Labels, want) {
				t.Errorf("got labels %v, want %v", node.Labels, want)
			}
			if !maps.Equal(node.Annotations, test.want) {
				t.Errorf("got annotations %v, want %v", node.Annotations, test.want)
			}
		})
	}
}

// TestWaitComponents: an API is asked for when the workloads are ready, not before: they are the reason.
func TestWaitComponents(t *testing.T) {
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		t.Fatal(err)
	}
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1.example.com"},
	}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "etcd"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	api := &kube.Client{Client: fake.NewClientBuilder().WithScheme(types).WithObjects(service, pod).Build()}
	for want, pods := range map[string][]string{
		"pod kube-system/etcd: phase Pending":                                      {"etcd"},
		"API v1.example.com is not available: the API server has not tried it yet": nil,
	} {
		if err := apistep.WaitComponents(t.Context(), api, []component.Object{service}, pods); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
