package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NodeReady is nil when the node exists and is Ready; otherwise it says why not, in the kubelet's words.
func (c *Client) NodeReady(ctx context.Context, name string) error {
	node := &corev1.Node{}
	if err := c.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return fmt.Errorf("get Node %s: %w", name, err)
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		if condition.Status == corev1.ConditionTrue {
			return nil
		}
		return fmt.Errorf("node %s is not Ready: %s: %s", name, condition.Reason, condition.Message)
	}
	return fmt.Errorf("node %s has not reported its state yet", name)
}

// WorkloadsReady is nil when every given Deployment and DaemonSet is rolled out and all its pods are available.
func (c *Client) WorkloadsReady(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		var err error
		switch o := object.(type) {
		case *appsv1.Deployment:
			err = c.deploymentReady(ctx, client.ObjectKeyFromObject(o))
		case *appsv1.DaemonSet:
			err = c.daemonSetReady(ctx, client.ObjectKeyFromObject(o))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) deploymentReady(ctx context.Context, key client.ObjectKey) error {
	o := &appsv1.Deployment{}
	if err := c.Get(ctx, key, o); err != nil {
		return fmt.Errorf("get Deployment %s: %w", key, err)
	}
	want := int32(1)
	if o.Spec.Replicas != nil {
		want = *o.Spec.Replicas
	}
	if o.Status.ObservedGeneration >= o.Generation && o.Status.UpdatedReplicas >= want && o.Status.AvailableReplicas >= want {
		return nil
	}
	return fmt.Errorf("deployment %s has %d of %d pods available%s", key, o.Status.AvailableReplicas, want, c.why(ctx, key.Namespace, o.Spec.Selector.MatchLabels))
}

func (c *Client) daemonSetReady(ctx context.Context, key client.ObjectKey) error {
	o := &appsv1.DaemonSet{}
	if err := c.Get(ctx, key, o); err != nil {
		return fmt.Errorf("get DaemonSet %s: %w", key, err)
	}
	want := o.Status.DesiredNumberScheduled
	if want > 0 && o.Status.ObservedGeneration >= o.Generation && o.Status.UpdatedNumberScheduled >= want && o.Status.NumberAvailable >= want {
		return nil
	}
	return fmt.Errorf("daemon set %s has %d of %d pods available%s", key, o.Status.NumberAvailable, want, c.why(ctx, key.Namespace, o.Spec.Selector.MatchLabels))
}

// PodsReady is nil when the namespace's pods with all the given names exist and are Ready.
func (c *Client) PodsReady(ctx context.Context, namespace string, names ...string) error {
	for _, name := range names {
		pod := &corev1.Pod{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); err != nil {
			return fmt.Errorf("get Pod %s/%s: %w", namespace, name, err)
		}
		if reason := podTrouble(pod); reason != "" {
			return fmt.Errorf("pod %s/%s: %s", namespace, name, reason)
		}
	}
	return nil
}

// why names what the pods of a workload are waiting for, "" when nothing is known.
func (c *Client) why(ctx context.Context, namespace string, labels map[string]string) string {
	pods := &corev1.PodList{}
	if err := c.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels(labels)); err != nil {
		return ""
	}
	var reasons []string
	for i := range pods.Items {
		if reason := podTrouble(&pods.Items[i]); reason != "" {
			reasons = append(reasons, pods.Items[i].Name+": "+reason)
		}
	}
	slices.Sort(reasons)
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}

// podTrouble says why a pod is not Ready, "" when it is.
func podTrouble(pod *corev1.Pod) string {
	ready := false
	trouble := ""
	for _, condition := range pod.Status.Conditions {
		switch {
		case condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue:
			ready = true
		case condition.Status == corev1.ConditionFalse && condition.Message != "":
			trouble = condition.Message
		}
	}
	if ready {
		return ""
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if waiting := status.State.Waiting; waiting != nil && waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing" {
			return strings.TrimSuffix(fmt.Sprintf("container %s is waiting: %s: %s", status.Name, waiting.Reason, waiting.Message), ": ")
		}
		if last := status.LastTerminationState.Terminated; last != nil && !status.Ready {
			return fmt.Sprintf("container %s ended with exit code %d (%s) and was restarted %d times", status.Name, last.ExitCode, last.Reason, status.RestartCount)
		}
	}
	if trouble != "" {
		return trouble
	}
	return "phase " + string(pod.Status.Phase)
}
