package nodeagent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// self is the agent's own Node, as the API has it.
type self struct {
	*daemon

	mu     sync.Mutex
	object *corev1.Node // nil while there is none, or none was seen
	heard  []func(*corev1.Node)
}

func newSelf(d *daemon) *self { return &self{daemon: d} }

// onChange calls back with each new state, also nil for none. It is called before run.
func (s *self) onChange(heard func(*corev1.Node)) { s.heard = append(s.heard, heard) }

// get returns the last state; it is not to be changed.
func (s *self) get() *corev1.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.object
}

func (s *self) set(node *corev1.Node) {
	if node != nil {
		// What is of no use here is most of it.
		node.ManagedFields, node.Status.Images, node.Status.VolumesAttached, node.Status.VolumesInUse = nil, nil, nil, nil
	}
	s.mu.Lock()
	s.object = node
	s.mu.Unlock()
	for _, heard := range s.heard {
		heard(node)
	}
}

func (s *self) run(ctx context.Context) error {
	follow(ctx, s.daemon, &corev1.NodeList{}, client.ObjectKey{Name: s.node.Name}, s.set, func() { s.set(nil) })
	return nil
}

// change patches labels and annotations; a nil value takes one away.
func (s *self) change(ctx context.Context, labels, annotations map[string]*string) error {
	metadata := map[string]any{} // null for the whole of one would take away all of them
	if len(labels) > 0 {
		metadata["labels"] = labels
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return s.patch(ctx, map[string]any{"metadata": metadata}, types.MergePatchType, "")
}

// condition sets one condition of the status; the others stay as they are.
func (s *self) condition(ctx context.Context, condition corev1.NodeCondition) error {
	patch := map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{condition}}}
	return s.patch(ctx, patch, types.StrategicMergePatchType, "status")
}

func (s *self) patch(ctx context.Context, patch map[string]any, kind types.PatchType, sub string) error {
	raw, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode change of Node %s: %w", s.node.Name, err)
	}
	node := &corev1.Node{}
	node.Name = s.node.Name
	err = ask(ctx, func(ctx context.Context) error {
		if sub != "" {
			return s.api.SubResource(sub).Patch(ctx, node, client.RawPatch(kind, raw))
		}
		return s.api.Patch(ctx, node, client.RawPatch(kind, raw))
	})
	if err != nil {
		return fmt.Errorf("change Node %s: %w", node.Name, err)
	}
	s.set(node)
	return nil
}

// conditionOf returns a condition of the Node, nil when there is none.
func conditionOf(node *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	if node == nil {
		return nil
	}
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == kind {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

// ready says that the kubelet reports the node as Ready, and that the API believes it.
func ready(node *corev1.Node) bool {
	condition := conditionOf(node, corev1.NodeReady)
	return condition != nil && condition.Status == corev1.ConditionTrue
}
