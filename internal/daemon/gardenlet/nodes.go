package gardenlet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// lookAgainAtNode is when a Node is looked at again that changed while it was looked at.
const lookAgainAtNode = time.Second

// keeper keeps labels, annotations and taints of Nodes as their pools have them.
type keeper struct{ world }

// keepNodes looks after each Node of a pool.
func keepNodes(w world) controller {
	k := keeper{w}
	everyNode := func(client.Object) []string { return w.nodes.GetStore().ListKeys() }
	return controller{
		name: "nodes",
		triggers: []trigger{
			{w.nodes, itself(func(client.Object) bool { return true })},
			{w.definition, everyNode},
			{w.daemonSets, everyNode},
			{w.pods, k.waiting},
		},
		reconcile: k.reconcile,
	}
}

// waiting names the pod's node while that waits for such pods.
func (k keeper) waiting(pod client.Object) []string {
	node := find[*corev1.Node](k.nodes, pod.(*corev1.Pod).Spec.NodeName)
	if node == nil || !slices.ContainsFunc(node.Spec.Taints, isCritical) {
		return nil
	}
	return []string{node.Name}
}

// reconcile changes what is not as it should be, with one request; for a Node that is, there is none.
func (k keeper) reconcile(ctx context.Context, name string) (time.Duration, error) {
	node := find[*corev1.Node](k.nodes, name)
	if node == nil || node.DeletionTimestamp != nil || certificate.Leaving(node) {
		return 0, nil
	}
	known, err := k.definitions.get(ctx)
	if err != nil || known == nil {
		return 0, err
	}
	pool, ok := poolOf(known.Cluster, node)
	if !ok {
		return 0, nil // its agent has not said yet, or a pool that is gone: its nodes stay as they are
	}
	want, err := wishFor(known.Cluster, pool)
	if err != nil {
		return 0, err
	}
	var again time.Duration
	if slices.ContainsFunc(node.Spec.Taints, isCritical) {
		missing, err := k.missing(ctx, node)
		if err != nil {
			return 0, err
		}
		if want.usable = missing == ""; !want.usable {
			k.log.Debug("node is not ready for workload", "node", node.Name, "missing", missing)
			again = lookAgainAtPods
		}
	}
	current, err := k.patch(ctx, node, want)
	if err == nil && !current {
		again = lookAgainAtNode
	}
	return again, err
}

// patch is not current when the Node had changed by then. The watch does not tell of changes of what is not kept in memory.
func (k keeper) patch(ctx context.Context, node *corev1.Node, want wish) (current bool, err error) {
	content := want.patch(node)
	if content == nil {
		return true, nil
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return false, fmt.Errorf("patch Node %s: %w", node.Name, err)
	}
	object := &corev1.Node{}
	object.Name = node.Name
	err = k.api.Patch(ctx, object, client.RawPatch(types.MergePatchType, raw))
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case apierrors.IsConflict(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("patch Node %s: %w", node.Name, err)
	}
	if want.usable {
		k.log.Info("node is ready for workload", "node", node.Name)
	}
	return true, nil
}

// poolOf goes by what the node's agent says. The label is the kubelet's, which may have named any pool.
func poolOf(c *cluster.Cluster, node *corev1.Node) (cluster.Pool, bool) {
	at := slices.IndexFunc(c.Pools, func(p cluster.Pool) bool { return p.Name == node.Annotations[secret.AnnotationPool] })
	if at < 0 {
		return cluster.Pool{}, false
	}
	return c.Pools[at], true
}
