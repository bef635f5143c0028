package apistep

import (
	"context"
	"fmt"
	"slices"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/render/osc"
)

// Applied is nil once the node has applied the configuration that is published in the Secret.
func Applied(ctx context.Context, api client.Reader, node, secret string) error {
	published, found := &corev1.Secret{}, &corev1.Node{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: secret}, published); err != nil {
		return fmt.Errorf("read the published configuration: %w", err)
	}
	if err := api.Get(ctx, client.ObjectKey{Name: node}, found); err != nil {
		return fmt.Errorf("read Node %s: %w", node, err)
	}
	want, have := published.Annotations[osc.AnnotationChecksum], found.Annotations[nodeagentv1alpha1.AnnotationKeyChecksumAppliedOperatingSystemConfig]
	if have != want {
		return fmt.Errorf("wait for node %s: it has not applied configuration %.12s yet", node, want)
	}
	return nil
}

// Usable is nil once the node takes workload: Kubernetes knows that it is ready, and the gardenlet that all runs there that it cannot
// do without. The taint not-ready that evicts stays for some seconds more; pods tolerate it by default.
func Usable(ctx context.Context, api client.Reader, node string) error {
	found := &corev1.Node{}
	if err := api.Get(ctx, client.ObjectKey{Name: node}, found); err != nil {
		return fmt.Errorf("read Node %s: %w", node, err)
	}
	critical := func(t corev1.Taint) bool { return t.Key == constants.TaintNodeCriticalComponentsNotReady }
	if slices.ContainsFunc(found.Spec.Taints, critical) {
		return fmt.Errorf("node %s takes no workload yet: a pod of kube-system with the label node.gardener.cloud/critical-component is not ready there", node)
	}
	if slices.ContainsFunc(found.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeNotReady && t.Effect == corev1.TaintEffectNoSchedule
	}) {
		return fmt.Errorf("node %s takes no workload yet: the controller manager has not taken its taint %s off", node, corev1.TaintNodeNotReady)
	}
	return nil
}
