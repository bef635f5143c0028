package gardenlet

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

// annotationKept on a Node remembers what was set here, so that it goes when it is not wanted any more. All else is somebody else's.
const annotationKept = "node.gardenadm.dev/applied"

// wish is what a Node of a pool has to have.
type wish struct {
	labels, annotations map[string]string
	taints              []corev1.Taint
	// usable: the taint goes that kept workload off until now.
	usable bool
}

// applied are keys; those of taints have their effect behind a colon.
type applied struct {
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
	Taints      []string `json:"taints,omitempty"`
}

// wishFor leaves to the node what only the node knows: its architecture, its version, and, on the control plane, its role: nobody
// becomes part of the control plane here.
func wishFor(c *cluster.Cluster, pool cluster.Pool) (wish, error) {
	labels, err := osc.NodeLabels(c, pool)
	if err != nil {
		return wish{}, err
	}
	for _, own := range []string{corev1.LabelArchStable, constants.LabelWorkerKubernetesVersion, labelControlPlane} {
		delete(labels, own)
	}
	return wish{labels: labels, annotations: osc.NodeAnnotations(pool), taints: osc.NodeTaints(c, pool)}, nil
}

// patch is the merge patch that makes the Node as wished; nil for nothing to do. Taints are one value: they are
// replaced whole, and only of the version of the Node that was looked at.
func (w wish) patch(node *corev1.Node) map[string]any {
	var last applied
	_ = json.Unmarshal([]byte(node.Annotations[annotationKept]), &last) // what cannot be read is nobody's
	next := applied{Labels: slices.Sorted(maps.Keys(w.labels)), Annotations: slices.Sorted(maps.Keys(w.annotations))}
	taints := w.withTaints(node.Spec.Taints, last.Taints)
	for _, taint := range w.taints {
		next.Taints = append(next.Taints, taintKey(taint))
	}
	slices.Sort(next.Taints)

	metadata, out := map[string]any{}, map[string]any{}
	if labels := difference(node.Labels, w.labels, last.Labels); len(labels) > 0 {
		metadata["labels"] = labels
	}
	annotations := difference(node.Annotations, w.annotations, last.Annotations)
	if raw, _ := json.Marshal(next); string(raw) != node.Annotations[annotationKept] { // strings always encode
		annotations[annotationKept] = string(raw)
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	if !slices.EqualFunc(taints, node.Spec.Taints, sameTaint) {
		out["spec"] = map[string]any{"taints": taints}
		metadata["resourceVersion"] = node.ResourceVersion
	}
	if len(metadata) == 0 {
		return nil
	}
	out["metadata"] = metadata
	return out
}

// difference sets what is missing or different, and takes away what was set and is not wanted any more.
func difference(have, want map[string]string, last []string) map[string]any {
	out := map[string]any{}
	for key, value := range want {
		if found, ok := have[key]; !ok || found != value {
			out[key] = value
		}
	}
	for _, key := range last {
		_, wanted := want[key]
		if _, there := have[key]; there && !wanted {
			out[key] = nil
		}
	}
	return out
}

// withTaints keeps the order and what is others'.
func (w wish) withTaints(have []corev1.Taint, last []string) []corev1.Taint {
	want := map[string]corev1.Taint{}
	for _, taint := range w.taints {
		want[taintKey(taint)] = taint
	}
	out := []corev1.Taint{}
	for _, taint := range have {
		wanted, ok := want[taintKey(taint)]
		switch {
		case ok:
			taint.Value = wanted.Value
			delete(want, taintKey(taint))
		case slices.Contains(last, taintKey(taint)), w.usable && isCritical(taint):
			continue
		}
		out = append(out, taint)
	}
	for _, taint := range w.taints {
		if _, missing := want[taintKey(taint)]; missing {
			out = append(out, taint)
			delete(want, taintKey(taint))
		}
	}
	return out
}

func taintKey(taint corev1.Taint) string { return taint.Key + ":" + string(taint.Effect) }

func sameTaint(a, b corev1.Taint) bool { return taintKey(a) == taintKey(b) && a.Value == b.Value }
