// Package drain turns a Node in use into one that the cluster does without: its pods move elsewhere, and it is marked as leaving.
// Used by reset and by node remove.
package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
)

// Drain is the work on one Node. All of it can be done again at any time.
type Drain struct {
	API  client.Client
	Node string
	// Force takes away pods that a disruption budget protects, and those that nobody makes again.
	Force bool
}

// Cordon keeps new pods from the Node.
func (d Drain) Cordon(ctx context.Context) error {
	node := &corev1.Node{}
	if err := d.API.Get(ctx, client.ObjectKey{Name: d.Node}, node); err != nil {
		return fmt.Errorf("cordon node %s: %w", d.Node, err)
	}
	if node.Spec.Unschedulable {
		return nil
	}
	before := node.DeepCopy()
	node.Spec.Unschedulable = true
	if err := d.API.Patch(ctx, node, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("cordon node %s: %w", d.Node, err)
	}
	return nil
}

// Evict tells all pods to go that could run elsewhere, and is nil when none of them is left. Until then it returns a fault that says of
// each what it waits for, and is to be called again; that one pod cannot be asked for keeps none of the others. Pods of DaemonSets, static pods and those that have ended stay; data in emptyDir
// volumes is lost. Pods that nobody makes again are a permanent fault, before anything is evicted.
func (d Drain) Evict(ctx context.Context) error {
	pods, err := d.pods(ctx)
	if err != nil {
		return err
	}
	if err := d.checkMadeAgain(pods); err != nil {
		return err
	}
	var left []string
	var errs []error
	for i := range pods {
		why, err := d.evict(ctx, &pods[i])
		errs = append(errs, err)
		if why != "" {
			left = append(left, name(&pods[i])+" "+why)
		}
	}
	if len(left) > 0 {
		errs = append(errs, fault.New(fault.NotDrained, "drain node %s: %s", d.Node, shortList(left)).Seen(left...))
	}
	return errors.Join(errs...)
}

// Delete ends the pods that Evict would wait for at once: for a Node whose machine is off, or that nobody waits for.
func (d Drain) Delete(ctx context.Context) error {
	pods, err := d.pods(ctx)
	errs := []error{err}
	for i := range pods {
		err := d.API.Delete(ctx, &pods[i], client.GracePeriodSeconds(0), client.Preconditions{UID: &pods[i].UID})
		if client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("delete pod %s: %w", name(&pods[i]), err))
		}
	}
	return errors.Join(errs...)
}

// pods are those on the Node that could run elsewhere, in order of namespace and name.
func (d Drain) pods(ctx context.Context) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := d.API.List(ctx, list, client.MatchingFields{"spec.nodeName": d.Node}); err != nil {
		return nil, fmt.Errorf("list pods of node %s: %w", d.Node, err)
	}
	out := slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		_, static := pod.Annotations[corev1.MirrorPodAnnotationKey]
		owner := metav1.GetControllerOf(&pod)
		ofDaemonSet := owner != nil && owner.Kind == "DaemonSet"
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		return static || ofDaemonSet || ended
	})
	slices.SortFunc(out, func(a, b corev1.Pod) int { return strings.Compare(name(&a), name(&b)) })
	return out, nil
}

func (d Drain) checkMadeAgain(pods []corev1.Pod) error {
	var lost []string
	for i := range pods {
		if metav1.GetControllerOf(&pods[i]) == nil && pods[i].DeletionTimestamp == nil {
			lost = append(lost, name(&pods[i]))
		}
	}
	if d.Force || len(lost) == 0 {
		return nil
	}
	return flow.Permanent(fault.New(fault.PodsLost, "drain node %s: nobody would make again: %s", d.Node, shortList(lost)).Seen(lost...))
}

// evict tells one pod to go, and says what it waits for; "" when it is gone.
func (d Drain) evict(ctx context.Context, pod *corev1.Pod) (why string, err error) {
	const ending = "is ending"
	if pod.DeletionTimestamp != nil {
		return ending, nil
	}
	same := &metav1.Preconditions{UID: &pod.UID} // not the next one of its name
	err = d.API.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, DeleteOptions: &metav1.DeleteOptions{Preconditions: same},
	})
	refused := refusal(err)
	if refused != "" && d.Force {
		refused, err = "", d.API.Delete(ctx, pod, client.Preconditions(*same))
	}
	switch {
	case err == nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ending, nil
	case apierrors.IsNotFound(err):
		return "", nil
	case apierrors.IsConflict(err): // another one of its name is there by now
		return "is being replaced", nil
	case refused != "":
		return "may not go: " + refused, nil
	case apierrors.IsForbidden(err): // somebody's webhook or policy protects this pod
		return "may not go: " + err.Error(), nil
	}
	return "", fmt.Errorf("evict pod %s: %w", name(pod), err)
}

// severalBudgets is in what the API server answers, as an internal error, for a pod that more than one disruption budget selects.
const severalBudgets = "more than one PodDisruptionBudget"

// refusal is what a disruption budget has against an eviction, in the API server's words; "" when it is none.
func refusal(err error) string {
	status := apierrors.APIStatus(nil)
	if err == nil || !errors.As(err, &status) {
		return ""
	}
	if details := status.Status().Details; details != nil {
		for _, cause := range details.Causes {
			if cause.Type == policyv1.DisruptionBudgetCause {
				return cause.Message
			}
		}
	}
	if apierrors.IsTooManyRequests(err) || strings.Contains(err.Error(), severalBudgets) {
		return status.Status().Message
	}
	return ""
}

func name(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// shortList names the first few; the fault's evidence has all.
func shortList(all []string) string {
	const most = 3
	out := strings.Join(all[:min(most, len(all))], "; ")
	if more := len(all) - most; more > 0 {
		out += fmt.Sprintf("; and %d more", more)
	}
	return out
}
