package gardenlet

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

func taint(key, value string) corev1.Taint {
	return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffectNoSchedule}
}

// TestWish: what is wanted is set, what was wanted goes, what is others' stays, and nothing is done twice.
func TestWish(t *testing.T) {
	want := wish{
		labels: map[string]string{"a": "1", "b": "2"}, annotations: map[string]string{"x": "1"},
		taints: []corev1.Taint{taint("mine", "new"), taint("more", "")},
	}
	const book = `{"labels":["a","b"],"annotations":["x"],"taints":["mine:NoSchedule","more:NoSchedule"]}`
	for name, c := range map[string]struct {
		node corev1.Node
		want map[string]any
	}{
		"new": {corev1.Node{}, map[string]any{
			"metadata": map[string]any{
				"labels": map[string]any{"a": "1", "b": "2"}, "annotations": map[string]any{"x": "1", annotationKept: book}, "resourceVersion": "7",
			},
			"spec": map[string]any{"taints": []corev1.Taint{taint("mine", "new"), taint("more", "")}},
		}},
		"as it should be": {corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "1", "b": "2", "other": "x"}, Annotations: map[string]string{"x": "1", annotationKept: book, "other": "x"}},
			Spec:       corev1.NodeSpec{Taints: []corev1.Taint{taint("other", "x"), taint("more", ""), taint("mine", "new")}},
		}, nil},
		"registered by its kubelet": {corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "1", "b": "2"}, Annotations: map[string]string{"x": "1"}},
			Spec:       corev1.NodeSpec{Taints: []corev1.Taint{taint("mine", "new"), taint("more", "")}},
		}, map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotationKept: book}}}},
		"changed by somebody": {corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "9", "b": "2"}, Annotations: map[string]string{annotationKept: book}},
			Spec:       corev1.NodeSpec{Taints: []corev1.Taint{taint("mine", "old"), taint("other", "x"), taint("more", "")}},
		}, map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"a": "1"}, "annotations": map[string]any{"x": "1"}, "resourceVersion": "7"},
			"spec":     map[string]any{"taints": []corev1.Taint{taint("mine", "new"), taint("other", "x"), taint("more", "")}},
		}},
		"of a former definition": {corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      map[string]string{"a": "1", "b": "2", "gone": "x", "stays": "x"},
				Annotations: map[string]string{"x": "1", "gone": "x", annotationKept: `{"labels":["gone","never"],"annotations":["gone"],"taints":["gone:NoSchedule"]}`},
			},
			Spec: corev1.NodeSpec{Taints: []corev1.Taint{taint("gone", "x"), {Key: "gone", Effect: corev1.TaintEffectNoExecute}, taint("mine", "new"), taint("more", "")}},
		}, map[string]any{
			"metadata": map[string]any{
				"labels": map[string]any{"gone": nil}, "annotations": map[string]any{"gone": nil, annotationKept: book}, "resourceVersion": "7",
			},
			"spec": map[string]any{"taints": []corev1.Taint{{Key: "gone", Effect: corev1.TaintEffectNoExecute}, taint("mine", "new"), taint("more", "")}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.node.ResourceVersion = "7"
			if diff := cmp.Diff(c.want, want.patch(&c.node)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (f *fixture) keep(t *testing.T, name string) *corev1.Node {
	t.Helper()
	f.see(t)
	if _, err := (keeper{f.world}).reconcile(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{}
	must(t, client.IgnoreNotFound(f.api.Get(t.Context(), client.ObjectKey{Name: name}, node)))
	return node
}

func workerNode(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"worker.gardener.cloud/pool": "workers", "worker.gardener.cloud/kubernetes-version": "1.0.0", "kubernetes.io/arch": "riscv64",
		}, Annotations: map[string]string{"node.gardenadm.dev/pool": "workers"}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{taint("node.gardener.cloud/critical-components-not-ready", "")}},
	}
}

// TestNodesOfPools: a worker gets what its pool has, whatever its kubelet may set itself, and nobody gets a role of the control plane.
func TestNodesOfPools(t *testing.T) {
	f := newFixture(t)
	set := f.cluster.Manifests
	worker := &set.Shoot.Spec.Provider.Workers[1]
	worker.Labels = map[string]string{"node-restriction.kubernetes.io/team": "x"}
	worker.Annotations = map[string]string{"example.com/note": "y"}
	worker.Taints = []corev1.Taint{taint("team", "x")}
	f.redefine(t)
	stranger := workerNode("stranger")
	stranger.Annotations["node.gardenadm.dev/pool"] = "other"
	silent := workerNode("silent")
	silent.Annotations = nil
	pretender := workerNode("pretender")
	pretender.Annotations["node.gardenadm.dev/pool"] = "control-plane"
	relabelled := workerNode("relabelled")
	relabelled.Labels["worker.gardener.cloud/pool"] = "control-plane"
	for _, node := range []*corev1.Node{workerNode("w1"), stranger, silent, pretender, relabelled} {
		must(t, f.api.Create(t.Context(), node))
	}
	node := f.keep(t, "w1")
	for key, value := range map[string]string{
		"node-restriction.kubernetes.io/team": "x", "node-role.kubernetes.io/worker": "", "worker.gardener.cloud/kubernetes-version": "1.0.0", "kubernetes.io/arch": "riscv64",
		"worker.gardener.cloud/gardener-node-agent-secret-name": "gardener-node-agent-workers",
	} {
		if got, ok := node.Labels[key]; !ok || got != value {
			t.Errorf("label %s is %q, want %q", key, got, value)
		}
	}
	if node.Annotations["example.com/note"] != "y" || !slices.Contains(node.Spec.Taints, taint("team", "x")) || len(node.Spec.Taints) != 2 {
		t.Errorf("annotations %v, taints %v", node.Annotations, node.Spec.Taints)
	}
	if again := f.keep(t, "w1"); again.ResourceVersion != node.ResourceVersion {
		t.Error("a node that is as it should be is changed again")
	}
	if got := f.keep(t, "stranger"); got.ResourceVersion != stranger.ResourceVersion {
		t.Error("a node of a pool that is not there is changed")
	}
	if got := f.keep(t, "silent"); got.ResourceVersion != silent.ResourceVersion {
		t.Error("a node is changed whose agent has not named its pool: its kubelet alone did")
	}
	if got := f.keep(t, "relabelled"); got.Labels["worker.gardener.cloud/pool"] != "workers" || !slices.Contains(got.Spec.Taints, taint("team", "x")) {
		t.Errorf("a node that its kubelet put into another pool has labels %v, taints %v", got.Labels, got.Spec.Taints)
	}
	for _, name := range []string{"w1", "pretender"} {
		if _, ok := f.keep(t, name).Labels[labelControlPlane]; ok {
			t.Errorf("%s became part of the control plane", name)
		}
	}

	worker.Labels, worker.Annotations, worker.Taints = nil, nil, nil
	f.redefine(t)
	node = f.keep(t, "w1")
	if _, there := node.Labels["node-restriction.kubernetes.io/team"]; there || node.Annotations["example.com/note"] != "" || len(node.Spec.Taints) != 1 {
		t.Errorf("what the pool had once is still there: %v, %v, %v", node.Labels, node.Annotations, node.Spec.Taints)
	}
}

// redefine makes the cluster of what its manifests say now.
func (f *fixture) redefine(t *testing.T) {
	t.Helper()
	var err error
	f.cluster, err = cluster.New(f.cluster.Manifests, f.cluster.UID)
	must(t, err)
	f.define(t)
}

func criticalSet(name string, change func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	out := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "kube-system", Name: name, UID: types.UID(name), Labels: map[string]string{"node.gardener.cloud/critical-component": "true"},
	}}
	out.Spec.Template.Labels = maps.Clone(out.Labels)
	out.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	change(out)
	return out
}

func criticalPod(of, node string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "kube-system", Name: of + "-" + node, Labels: map[string]string{"node.gardener.cloud/critical-component": "true"}, Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: of, UID: types.UID(of), Controller: new(true)}},
		},
		Spec: corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: ready},
		}},
	}
}

// TestCriticalComponents: the taint goes when the pods are ready that are to run there, and not before.
func TestCriticalComponents(t *testing.T) {
	const yes, no = corev1.ConditionTrue, corev1.ConditionFalse
	everywhere := func(*appsv1.DaemonSet) {}
	waits := func(pod *corev1.Pod) *corev1.Pod {
		pod.Annotations["node.gardener.cloud/wait-for-csi-node-x"] = "driver.example.com"
		return pod
	}
	registered := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "w1"}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{Name: "driver.example.com", NodeID: "w1"}}}}
	for name, c := range map[string]struct {
		objects []client.Object
		ready   bool // the Node is
		gone    bool
	}{
		"all ready":              {[]client.Object{criticalSet("a", everywhere), criticalSet("b", everywhere), criticalPod("a", "w1", yes), criticalPod("b", "w1", yes)}, false, true},
		"one not ready":          {[]client.Object{criticalSet("a", everywhere), criticalSet("b", everywhere), criticalPod("a", "w1", yes), criticalPod("b", "w1", no)}, true, false},
		"one missing":            {[]client.Object{criticalSet("a", everywhere), criticalSet("b", everywhere), criticalPod("a", "w1", yes)}, true, false},
		"one on another node":    {[]client.Object{criticalSet("a", everywhere), criticalPod("a", "w2", yes)}, true, false},
		"a second pod not ready": {[]client.Object{criticalSet("a", everywhere), criticalPod("a", "w1", yes), criticalPod("c", "w1", no)}, true, false},
		"of a deleted set":       {[]client.Object{criticalSet("a", everywhere), criticalPod("former", "w1", yes)}, true, false},
		"elsewhere by selector": {[]client.Object{criticalSet("a", everywhere), criticalPod("a", "w1", yes), criticalSet("b", func(s *appsv1.DaemonSet) {
			s.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"}
		})}, false, true},
		"elsewhere by taint": {[]client.Object{criticalSet("a", everywhere), criticalPod("a", "w1", yes), criticalSet("b", func(s *appsv1.DaemonSet) { s.Spec.Template.Spec.Tolerations = nil })}, false, true},
		"of ordinary pods": {[]client.Object{criticalSet("a", everywhere), criticalPod("a", "w1", yes), criticalSet("b", func(s *appsv1.DaemonSet) {
			s.Spec.Template.Labels = nil
		})}, false, true},
		"none yet":                   {nil, false, false},
		"none, and the Node ready":   {nil, true, true},
		"a driver is not registered": {[]client.Object{criticalSet("a", everywhere), waits(criticalPod("a", "w1", yes))}, true, false},
		"a driver is registered":     {[]client.Object{criticalSet("a", everywhere), waits(criticalPod("a", "w1", yes)), registered}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			node := workerNode("w1")
			node.Spec.Taints = append(node.Spec.Taints, taint("team", "x"), taint("node.kubernetes.io/not-ready", ""))
			if c.ready {
				node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			}
			for _, object := range append([]client.Object{node}, c.objects...) {
				must(t, f.api.Create(t.Context(), object))
			}
			taints := f.keep(t, "w1").Spec.Taints
			if gone := !slices.ContainsFunc(taints, isCritical); gone != c.gone {
				t.Errorf("the taint is gone: %t, want %t", gone, c.gone)
			}
			if !slices.Contains(taints, taint("team", "x")) {
				t.Errorf("another taint is gone: %v", taints)
			}
		})
	}
}

// TestNodeChangedMeanwhile: a change that nobody hears of, of a node's images for one, does not keep it from becoming usable.
func TestNodeChangedMeanwhile(t *testing.T) {
	f := newFixture(t)
	node := workerNode("w1")
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	must(t, f.api.Create(t.Context(), node))
	f.see(t)
	node.Status.Images = make([]corev1.ContainerImage, 9)
	must(t, f.api.SubResource("status").Update(t.Context(), node))
	if again, err := (keeper{f.world}).reconcile(t.Context(), "w1"); again != lookAgainAtNode || err != nil {
		t.Errorf("looks again in %s, %v", again, err)
	}
	if taints := f.keep(t, "w1").Spec.Taints; slices.ContainsFunc(taints, isCritical) {
		t.Errorf("the node does not become usable: %v", taints)
	}
}

// TestTrim: of what is kept of a node and a pod, all that counts is there, and nothing large.
func TestTrim(t *testing.T) {
	node := workerNode("w1")
	node.Status.Images, node.Status.Capacity = make([]corev1.ContainerImage, 99), corev1.ResourceList{}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue, Message: "long"}}
	node.Status.NodeInfo = corev1.NodeSystemInfo{MachineID: "m", KernelVersion: "k"}
	labels := maps.Clone(node.Labels)
	trimNode(node)
	want := corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}, NodeInfo: corev1.NodeSystemInfo{MachineID: "m"},
	}
	if diff := cmp.Diff(want, node.Status); diff != "" || !maps.Equal(labels, node.Labels) || len(node.Spec.Taints) != 1 {
		t.Error(diff, node)
	}
	pod := criticalPod("a", "w1", corev1.ConditionTrue)
	pod.Spec.Containers = make([]corev1.Container, 3)
	pod.Annotations["large"] = "x"
	trimPod(pod)
	if len(pod.Spec.Containers)+len(pod.Annotations)+len(pod.Labels) > 0 || len(pod.Status.Conditions) != 1 || pod.Spec.NodeName != "w1" || metav1.GetControllerOf(pod) == nil {
		t.Errorf("kept: %+v", pod)
	}
}
