// Package apistep turns what reconciling decides into requests to the API, one function per step.
// Used by sequence/reconcile.
package apistep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// KeepSecrets applies every secret to the API and reads them back, so that nothing is forgotten elsewhere before it is there.
func KeepSecrets(ctx context.Context, api *kube.Client, set secret.Set) error {
	store := kube.SecretStore{Client: api}
	for _, key := range set.Keys() {
		if err := store.Save(ctx, set[key]); err != nil {
			return fmt.Errorf("keep secret %s: %w", key, err)
		}
	}
	kept, err := store.Load(ctx)
	if err != nil {
		return fmt.Errorf("read secrets back: %w", err)
	}
	for _, key := range set.Keys() {
		if kept[key].Spec.Checksum() != set[key].Spec.Checksum() {
			return fmt.Errorf("read secrets back: %s is not in the API", key)
		}
	}
	return nil
}

// KeepDefinition applies what the cluster is made of to the API, where the gardenlet finds it.
func KeepDefinition(ctx context.Context, api *kube.Client, c *cluster.Cluster, images image.Vector) error {
	return definition.Save(ctx, api, definition.Definition{UID: c.UID, Manifests: c.Manifests, Images: images})
}

// Apply applies a component's objects in order.
func Apply(ctx context.Context, api *kube.Client, objects []component.Object) error {
	for _, object := range objects {
		if err := api.ApplyObjects(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// LabelControlPlane gives the node what a kubelet cannot: its role, and the annotations of its pool.
func LabelControlPlane(ctx context.Context, api *kube.Client, pool cluster.Pool, node cluster.Node) error {
	metadata := map[string]any{"labels": map[string]string{"node-role.kubernetes.io/control-plane": ""}}
	if len(pool.Worker.Annotations) > 0 { // null would take all annotations away
		metadata["annotations"] = pool.Worker.Annotations
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("label Node %s: %w", node.Name, err)
	}
	object := &corev1.Node{}
	object.Name = node.Name
	if err := api.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("label Node %s: %w", node.Name, err)
	}
	return nil
}

// WaitServing is nil when the node's kubelet has its serving certificate. The gardenlet approves the request.
func WaitServing(ctx context.Context, api *kube.Client, node cluster.Node) error {
	return certificate.ServingIssued(ctx, api, node.Name)
}

// WaitNode is nil when the node is Ready.
func WaitNode(ctx context.Context, api *kube.Client, node cluster.Node) error {
	return api.NodeReady(ctx, node.Name)
}

// WaitComponents is nil when all workloads among the objects and the static pods of the nodes are Ready, and the API server reaches the
// APIs among the objects.
func WaitComponents(ctx context.Context, api *kube.Client, objects []component.Object, staticPods []string) error {
	workloads := make([]client.Object, 0, len(objects))
	for _, object := range objects {
		workloads = append(workloads, object)
	}
	err := errors.Join(
		api.WorkloadsReady(ctx, workloads...),
		api.PodsReady(ctx, secret.Namespace, staticPods...),
	)
	if err != nil { // an API is not there for the same reason as the workload behind it
		return err
	}
	return api.APIServicesAvailable(ctx, workloads...)
}

// inventory remembers what gardenadm applied to the cluster.
func inventory(api *kube.Client) kube.Inventory {
	return kube.Inventory{Client: api, Namespace: secret.Namespace, Name: "gardenadm-inventory"}
}

// Announce writes down what is about to be applied, so that it can be pruned one day whatever happens in between.
func Announce(ctx context.Context, api *kube.Client, objects []component.Object) error {
	return inventory(api).Announce(ctx, references(objects))
}

// Prune deletes what was applied once and is not among the objects any more.
func Prune(ctx context.Context, api *kube.Client, objects []component.Object) error {
	return inventory(api).Prune(ctx, references(objects))
}

func references(objects []component.Object) []kube.Reference {
	out := make([]kube.Reference, 0, len(objects))
	for _, object := range objects {
		out = append(out, kube.ReferenceTo(object))
	}
	return out
}
