package gardenlet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lookAgainAtPods is when a node that lacks something is looked at again without an event: a CSI driver's registration is not watched.
const lookAgainAtPods = 10 * time.Second

func isReady(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func isCritical(taint corev1.Taint) bool {
	return taint.Key == constants.TaintNodeCriticalComponentsNotReady
}

// ofOrdinaryPods: the DaemonSet is labelled as critical, but its pods are not, so nobody watches them.
func ofOrdinaryPods(set *appsv1.DaemonSet) bool {
	return set.Spec.Template.Labels[constants.LabelNodeCriticalComponent] != "true"
}

// missing says what the node lacks to carry workload, "" for nothing (contract resource-manager §7): a pod of each critical DaemonSet that
// is to run there, all of them ready, and the CSI drivers that they announce.
func (k keeper) missing(ctx context.Context, node *corev1.Node) (string, error) {
	pods := having[*corev1.Pod](k.pods, node.Name)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	sets := slices.DeleteFunc(all[*appsv1.DaemonSet](k.daemonSets), ofOrdinaryPods)
	slices.SortFunc(sets, func(a, b *appsv1.DaemonSet) int { return strings.Compare(a.Name, b.Name) })
	if len(sets) == 0 && !isReady(node) { // they are about to come, or the network is somebody's who has none
		return "readiness", nil
	}
	for _, set := range sets {
		runs := slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return metav1.IsControlledBy(pod, set) })
		if !runs && runsOn(set, node) {
			return "a pod of DaemonSet " + set.Name, nil
		}
	}
	for _, pod := range pods {
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
			return "pod " + pod.Name + ", which is not ready", nil
		}
	}
	return k.missingDriver(ctx, node, pods)
}

func (k keeper) missingDriver(ctx context.Context, node *corev1.Node, pods []*corev1.Pod) (string, error) {
	var wanted []string
	for _, pod := range pods {
		for _, driver := range pod.Annotations { // those of the prefix alone are kept
			wanted = append(wanted, driver)
		}
	}
	if len(wanted) == 0 {
		return "", nil
	}
	registered := &storagev1.CSINode{}
	if err := k.api.Get(ctx, client.ObjectKey{Name: node.Name}, registered); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("get CSINode %s: %w", node.Name, err)
	}
	slices.Sort(wanted)
	for _, driver := range wanted {
		if !slices.ContainsFunc(registered.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver }) {
			return "CSI driver " + driver, nil
		}
	}
	return "", nil
}

// runsOn says whether the DaemonSet is to have a pod on the node: its selector, its affinity and its tolerations decide. Kubernetes' own
// taints are tolerated by the pods of every DaemonSet.
func runsOn(set *appsv1.DaemonSet, node *corev1.Node) bool {
	spec := set.Spec.Template.Spec
	fits, err := nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: spec}).Match(node)
	if err != nil || !fits {
		return false
	}
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule || strings.HasPrefix(taint.Key, "node.kubernetes.io/") || isCritical(taint) {
			continue
		}
		if !slices.ContainsFunc(spec.Tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(logr.Discard(), &taint, false) }) {
			return false
		}
	}
	return true
}
