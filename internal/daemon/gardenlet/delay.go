package gardenlet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// maxDelay is after how long the last node of a pool applies a new configuration, if the Shoot does not say otherwise; delayStep is
	// between two nodes as long as there are few.
	maxDelay  = 5 * time.Minute
	delayStep = 10 * time.Second
	// collectNodes is how long nodes that join together are waited for.
	collectNodes = time.Second
)

// spreader tells the agents of workers how long to wait, so that not all of a pool restart something at once. The nodes of the control
// plane take turns instead.
type spreader struct{ world }

// spreadDelays looks after the nodes of each pool when one of them comes or goes.
func spreadDelays(w world) controller {
	s := spreader{w}
	everyPool := func(client.Object) []string { return slices.Sorted(s.pools()) }
	return controller{
		name: "delays", pause: collectNodes,
		triggers: []trigger{
			{w.nodes, func(node client.Object) []string { return []string{node.GetLabels()[constants.LabelWorkerPool]} }},
			{w.definition, everyPool},
		},
		reconcile: s.reconcile,
	}
}

func (s spreader) pools() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, pool := range s.nodes.GetIndexer().ListIndexFuncValues(indexed) {
			if !yield(pool) {
				return
			}
		}
	}
}

func (s spreader) reconcile(ctx context.Context, name string) (time.Duration, error) {
	known, err := s.definitions.get(ctx)
	if err != nil || known == nil || name == "" || name == known.ControlPlane.Name {
		return 0, err
	}
	nodes := having[*corev1.Node](s.nodes, name)
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	wanted := spread(len(nodes), longest(known.Shoot.Annotations))
	var errs []error
	for i, node := range nodes {
		if keeps(node.Annotations[constants.AnnotationNodeAgentReconciliationDelay], wanted[i]) {
			continue
		}
		if err := s.annotate(ctx, node.Name, wanted[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return 0, errors.Join(errs...)
}

func (s spreader) annotate(ctx context.Context, name string, delay time.Duration) error {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{constants.AnnotationNodeAgentReconciliationDelay: delay.String()},
	}})
	if err != nil {
		return fmt.Errorf("annotate Node %s: %w", name, err)
	}
	object := &corev1.Node{}
	object.Name = name
	if err := s.api.Patch(ctx, object, client.RawPatch(types.MergePatchType, raw)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("annotate Node %s: %w", name, err)
	}
	return nil
}

// spread returns the delays of so many nodes, in order of their names: none for the first.
func spread(nodes int, longest time.Duration) []time.Duration {
	out := make([]time.Duration, nodes)
	for i := range out {
		out[i] = min(time.Duration(i)*delayStep, longest*time.Duration(i)/time.Duration(max(nodes-1, 1))).Truncate(time.Millisecond)
	}
	return out
}

// keeps says that a delay is good enough. In a large pool every node that joins would move the delays of all others a little.
func keeps(have string, want time.Duration) bool {
	delay, err := time.ParseDuration(have)
	return err == nil && (delay-want).Abs() < delayStep && (delay == 0) == (want == 0)
}

// longest is what the Shoot says (contract resource-manager §7).
func longest(annotations map[string]string) time.Duration {
	seconds, err := strconv.Atoi(annotations[constants.AnnotationShootCloudConfigExecutionMaxDelaySeconds])
	if err != nil || seconds < 0 {
		return maxDelay
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}
