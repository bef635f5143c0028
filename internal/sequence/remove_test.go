package sequence

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/token"
)

// clusterWith is the API of a cluster with node w, a pod on it, three tokens, and a gardenlet. Where no kubelet works, evicted pods do not end.
func clusterWith(t *testing.T, node *corev1.Node, kubelet bool) client.WithWatch {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "1", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web", UID: "1", Controller: new(true)},
	}}, Spec: corev1.PodSpec{NodeName: node.Name}}
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(node, pod).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithIndex(&corev1.Secret{}, "type", func(o client.Object) []string { return []string{string(o.(*corev1.Secret).Type)} }).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
				if err := c.Patch(ctx, o, patch, options...); err != nil {
					return err
				}
				if one, ok := o.(*corev1.Node); ok && certificate.Leaving(one) {
					return c.Delete(ctx, one.DeepCopy())
				}
				return nil
			},
			SubResourceCreate: func(ctx context.Context, c client.Client, sub string, o, in client.Object, options ...client.SubResourceCreateOption) error {
				if !kubelet {
					return nil
				}
				return c.SubResource(sub).Create(ctx, o, in, options...)
			},
		}).Build()
	for id, binding := range map[string]token.Binding{"aaaaaa": {Node: node.Name}, "bbbbbb": {Node: "other"}, "cccccc": {Pool: "p"}} {
		one, err := token.Parse(id + ".0123456789abcdef")
		must(t, err)
		one.Binding, one.Expires = binding, time.Now().Add(time.Hour)
		must(t, token.Store{API: api}.Create(t.Context(), one))
	}
	return api
}

func nodeThatIs(ready corev1.ConditionStatus, labels ...string) *corev1.Node {
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w", Labels: map[string]string{}}}
	for _, label := range labels {
		out.Labels[label] = ""
	}
	out.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	return out
}

func tokens(t *testing.T, api client.Client) []string {
	t.Helper()
	list, err := token.Store{API: api}.List(t.Context())
	must(t, err)
	var out []string
	for _, one := range list {
		out = append(out, one.ID)
	}
	slices.Sort(out)
	return out
}

func TestRemove(t *testing.T) {
	for name, c := range map[string]struct {
		node           *corev1.Node
		kubelet, force bool
		want           fault.Code
		answered       bool
	}{
		"a worker":                        {nodeThatIs(corev1.ConditionTrue), true, false, "", true},
		"a worker, with force":            {nodeThatIs(corev1.ConditionTrue), true, true, "", true},
		"pods do not end":                 {nodeThatIs(corev1.ConditionTrue), false, false, fault.NotDrained, true},
		"pods do not end, with force":     {nodeThatIs(corev1.ConditionTrue), false, true, "", true},
		"it does not answer":              {nodeThatIs(corev1.ConditionUnknown), false, false, fault.NodeAway, false},
		"it does not answer, with force":  {nodeThatIs(corev1.ConditionUnknown), false, true, "", false},
		"it runs the control plane":       {nodeThatIs(corev1.ConditionTrue, labelControlPlane), true, false, fault.ControlPlaneMember, true},
		"so it does, and with force, too": {nodeThatIs(corev1.ConditionUnknown, labelControlPlane), true, true, fault.ControlPlaneMember, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := clusterWith(t, c.node, c.kubelet)
				r := &Remove{API: api, Node: "w", Force: c.force, Timeout: time.Minute}
				err := r.Run(t.Context(), nil)
				if faultCode(err) != c.want || (err != nil) != (c.want != "") {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				if r.Answered() != c.answered || r.Missing() {
					t.Errorf("answered: %v, missing: %v", r.Answered(), r.Missing())
				}
				gone := apierrors.IsNotFound(api.Get(t.Context(), client.ObjectKey{Name: "w"}, &corev1.Node{}))
				pod := api.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "web"}, &corev1.Pod{}) == nil
				if done := err == nil; gone != done || pod == done {
					t.Errorf("the node is gone: %v; the pod is there: %v", gone, pod)
				}
				if err != nil {
					return
				}
				if got := tokens(t, api); !slices.Equal(got, []string{"bbbbbb", "cccccc"}) {
					t.Errorf("tokens are %q", got)
				}
				again := &Remove{API: api, Node: "w", Timeout: time.Minute}
				must(t, again.Run(t.Context(), nil))
				if !again.Missing() {
					t.Error("run again, the node is there")
				}
			})
		})
	}
}

const labelControlPlane = "node-role.kubernetes.io/control-plane"
