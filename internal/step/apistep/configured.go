package apistep

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

// WaitConfigured is nil when the configuration of the control plane's pool is published as the cluster is defined now, and the node has
// applied it.
func WaitConfigured(ctx context.Context, api *kube.Client, c *cluster.Cluster, images image.Vector, node cluster.Node) error {
	wanted, err := definition.Definition{UID: c.UID, Manifests: c.Manifests, Images: images}.Checksum()
	if err != nil {
		return err
	}
	key, err := osc.Key(c, c.ControlPlane)
	if err != nil {
		return err
	}
	published := &corev1.Secret{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: key}, published); err != nil {
		return fmt.Errorf("get configuration of pool %s: %w", c.ControlPlane.Name, err)
	}
	if published.Annotations[definition.AnnotationRendered] != wanted {
		return fmt.Errorf("the gardenlet has not published the configuration of pool %s yet", c.ControlPlane.Name)
	}
	object := &corev1.Node{}
	if err := api.Get(ctx, client.ObjectKey{Name: node.Name}, object); err != nil {
		return fmt.Errorf("get Node %s: %w", node.Name, err)
	}
	if object.Annotations[certificate.AnnotationApplied] != published.Annotations[osc.AnnotationChecksum] {
		return fmt.Errorf("the agent of node %s has not applied its configuration yet", node.Name)
	}
	return nil
}
