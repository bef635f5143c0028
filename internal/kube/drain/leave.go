package drain

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

// Leave marks the Node as leaving and is nil when it is gone: the gardenlet removes it, with its lease and its requests for certificates.
// Until then it returns a fault and is to be called again.
func Leave(ctx context.Context, api client.Client, name string) error {
	node := &corev1.Node{}
	err := api.Get(ctx, client.ObjectKey{Name: name}, node)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	if !certificate.Leaving(node) {
		before := node.DeepCopy()
		if node.Annotations == nil {
			node.Annotations = map[string]string{}
		}
		node.Annotations[certificate.AnnotationLeaving] = "true"
		if err := api.Patch(ctx, node, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("mark node %s as leaving: %w", name, err)
		}
	}
	return fault.New(fault.NodeStays, "leave the cluster: no gardenlet has removed node %s yet", name)
}
