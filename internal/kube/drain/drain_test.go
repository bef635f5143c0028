package drain_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/drain"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pod runs on node n, made by a controller of the kind; "" for a pod that nobody makes again.
func pod(name, controller string, change ...func(*corev1.Pod)) *corev1.Pod {
	out := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec:       corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if controller != "" {
		out.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: controller, Name: "x", UID: "x", Controller: new(true)}}
	}
	for _, one := range change {
		one(out)
	}
	return out
}

func static(p *corev1.Pod) {
	p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n", UID: "n", Controller: new(true)}}
}

func elsewhere(p *corev1.Pod) { p.Spec.NodeName = "other" }

func ended(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }

func ending(p *corev1.Pod) {
	p.DeletionTimestamp = &metav1.Time{Time: metav1.Now().Time}
	p.Finalizers = []string{"x/y"}
}

// api is a client of an API in memory with the pods and node n. An eviction of a pod in refused fails so.
func api(t *testing.T, refused map[string]error, pods ...*corev1.Pod) client.Client {
	t.Helper()
	builder := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithInterceptorFuncs(interceptor.Funcs{SubResourceCreate: func(ctx context.Context, c client.Client, sub string, o, in client.Object, options ...client.SubResourceCreateOption) error {
			if err := refused[o.GetName()]; err != nil {
				return err
			}
			if in.(*policyv1.Eviction).DeleteOptions.Preconditions.UID == nil {
				t.Errorf("the eviction of %s may be of another pod of its name", o.GetName())
			}
			return c.SubResource(sub).Create(ctx, o, in, options...)
		}})
	for _, one := range pods {
		builder.WithObjects(one)
	}
	return builder.Build()
}

func left(t *testing.T, c client.Client) []string {
	t.Helper()
	list := &corev1.PodList{}
	must(t, c.List(t.Context(), list))
	var out []string
	for _, one := range list.Items {
		out = append(out, one.Name)
	}
	return out
}

func code(err error) fault.Code {
	if found := fault.Of(err); len(found) > 0 {
		return found[0].Code
	}
	return ""
}

// protected is what the API server answers for a pod that a disruption budget keeps.
func protected() error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget web needs 2 healthy pods and has 2 currently"}}
	return err
}

func TestCordon(t *testing.T) {
	c := api(t, nil)
	for range 2 {
		must(t, drain.Drain{API: c, Node: "n"}.Cordon(t.Context()))
	}
	node := &corev1.Node{}
	must(t, c.Get(t.Context(), client.ObjectKey{Name: "n"}, node))
	if !node.Spec.Unschedulable {
		t.Error("the node takes new pods")
	}
	if err := (drain.Drain{API: c, Node: "x"}).Cordon(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("a node that is not there: %v", err)
	}
}

// What could run elsewhere goes; the first call evicts it, the next one finds it gone.
func TestEvict(t *testing.T) {
	c := api(t, nil,
		pod("web", "ReplicaSet"), pod("db", "StatefulSet"), pod("flannel", "DaemonSet"), pod("etcd", "", static), pod("job", "", ended),
		pod("other", "ReplicaSet", elsewhere))
	d := drain.Drain{API: c, Node: "n"}
	err := d.Evict(t.Context())
	if code(err) != fault.NotDrained || !strings.Contains(err.Error(), "default/db is ending; default/web is ending") {
		t.Errorf("first: %v", err)
	}
	must(t, d.Evict(t.Context()))
	if got, want := left(t, c), []string{"etcd", "flannel", "job", "other"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

func TestEvictSaysWhatBlocks(t *testing.T) {
	several := apierrors.NewInternalError(errors.New("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."))
	terminating := apierrors.NewForbidden(corev1.Resource("pods"), "gone-soon", errors.New("namespace is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	conflict := apierrors.NewConflict(corev1.Resource("pods"), "next", errors.New("the UID in the precondition does not match"))
	refused := map[string]error{"web": protected(), "both": several, "gone-soon": terminating, "next": conflict}
	pods := func() []*corev1.Pod {
		return []*corev1.Pod{
			pod("web", "ReplicaSet"), pod("both", "ReplicaSet"), pod("gone-soon", "ReplicaSet"), pod("next", "ReplicaSet"), pod("slow", "ReplicaSet", ending),
		}
	}
	err := drain.Drain{API: api(t, refused, pods()...), Node: "n"}.Evict(t.Context())
	if code(err) != fault.NotDrained {
		t.Fatalf("got %v", err)
	}
	want := []string{
		"default/both may not go: Internal error occurred: This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
		"default/gone-soon is ending", "default/next is being replaced", "default/slow is ending",
		"default/web may not go: The disruption budget web needs 2 healthy pods and has 2 currently",
	}
	if got := fault.Of(err)[0].Evidence; !slices.Equal(got, want) {
		t.Errorf("evidence is %q", got)
	}
	if text := err.Error(); !strings.Contains(text, "and 2 more") {
		t.Errorf("text is %s", text)
	}

	// With force, budgets count for nothing.
	c := api(t, refused, pods()...)
	if err := (drain.Drain{API: c, Node: "n", Force: true}).Evict(t.Context()); code(err) != fault.NotDrained {
		t.Errorf("with force: %v", err)
	}
	if got := left(t, c); slices.Contains(got, "web") || slices.Contains(got, "both") {
		t.Errorf("with force, left are %q", got)
	}

	// Anything else that fails is no wait for a pod, and keeps no other pod.
	boom := errors.New("boom")
	c = api(t, map[string]error{"web": boom}, pod("web", "ReplicaSet"), pod("zeta", "ReplicaSet"))
	if err := (drain.Drain{API: c, Node: "n", Force: true}).Evict(t.Context()); !errors.Is(err, boom) || !slices.Equal(left(t, c), []string{"web"}) {
		t.Errorf("got %v, left are %q", err, left(t, c))
	}
}

// TestForbiddenEviction: a webhook that protects one pod is waited for as a disruption budget is. That nothing may be asked at all is another thing.
func TestForbiddenEviction(t *testing.T) {
	denied := apierrors.NewForbidden(corev1.Resource("pods"), "web", errors.New("admission webhook \"keeper\" denied the request"))
	for _, force := range []bool{false, true} {
		c := api(t, map[string]error{"web": denied}, pod("web", "ReplicaSet"), pod("zeta", "ReplicaSet"))
		err := drain.Drain{API: c, Node: "n", Force: force}.Evict(t.Context())
		if code(err) != fault.NotDrained || apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "keeper") || !slices.Equal(left(t, c), []string{"web"}) {
			t.Errorf("force %v: got %v, left are %q", force, err, left(t, c))
		}
	}
}

func TestPodsThatNobodyMakesAgain(t *testing.T) {
	c := api(t, nil, pod("mine", ""), pod("web", "ReplicaSet"), pod("over", "", ending))
	err := drain.Drain{API: c, Node: "n"}.Evict(t.Context())
	if code(err) != fault.PodsLost || !strings.Contains(err.Error(), "default/mine") || strings.Contains(err.Error(), "over") {
		t.Errorf("got %v", err)
	}
	if got := left(t, c); len(got) != 3 {
		t.Errorf("left are %q", got)
	}
	if err := (drain.Drain{API: c, Node: "n", Force: true}).Evict(t.Context()); code(err) != fault.NotDrained {
		t.Errorf("with force: %v", err)
	}
	if got := left(t, c); !slices.Equal(got, []string{"over"}) {
		t.Errorf("with force, left are %q", got)
	}
}

func TestDelete(t *testing.T) {
	c := api(t, map[string]error{"web": protected()}, pod("web", "ReplicaSet"), pod("mine", ""), pod("flannel", "DaemonSet"))
	must(t, drain.Drain{API: c, Node: "n"}.Delete(t.Context()))
	if got := left(t, c); !slices.Equal(got, []string{"flannel"}) {
		t.Errorf("left are %q", got)
	}
}

func TestLeave(t *testing.T) {
	c := api(t, nil)
	for range 2 {
		if err := drain.Leave(t.Context(), c, "n"); code(err) != fault.NodeStays {
			t.Errorf("got %v", err)
		}
		node := &corev1.Node{}
		must(t, c.Get(t.Context(), client.ObjectKey{Name: "n"}, node))
		if !certificate.Leaving(node) {
			t.Error("it is not marked")
		}
	}
	must(t, c.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}))
	must(t, drain.Leave(t.Context(), c, "n"))
}
