package addon

import (
	"maps"
	"slices"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// NodeCritical adds to a pod's labels that its node is not ready for workload without it.
// A gardenlet takes the taint critical-components-not-ready off when all such pods of a node are ready.
func NodeCritical(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	out["node.gardener.cloud/critical-component"] = "true"
	return out
}

// SystemNodes selects the nodes of pools that allow system components (contract node-agent-and-osc §3.1 node labels).
func SystemNodes() map[string]string {
	return map[string]string{constants.LabelWorkerPoolSystemComponents: "true"}
}

// SystemTolerations let a system component onto control plane nodes, onto nodes that are not ready for workload yet, and onto those
// of pools that allow system components, whatever their taints.
func SystemTolerations(c *cluster.Cluster) []corev1.Toleration {
	out := []corev1.Toleration{
		{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: constants.TaintNodeCriticalComponentsNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists},
	}
	for _, pool := range c.Pools {
		if system := pool.Worker.SystemComponents; system != nil && !system.Allow {
			continue
		}
		for _, taint := range pool.Worker.Taints {
			toleration := corev1.Toleration{Key: taint.Key, Operator: corev1.TolerationOpEqual, Value: taint.Value, Effect: taint.Effect}
			if !slices.Contains(out, toleration) {
				out = append(out, toleration)
			}
		}
	}
	return out
}

// EveryNode tolerates everything: without such a pod a node would never become usable.
func EveryNode() []corev1.Toleration {
	return []corev1.Toleration{
		{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	}
}

// Unprivileged lets a container do nothing but what every process may.
func Unprivileged() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		ReadOnlyRootFilesystem:   ptr.To(true),
	}
}

// NetworkAdmin lets root change links, routes and packet filters of the node's network namespace, and nothing else.
func NetworkAdmin() *corev1.SecurityContext {
	out := Unprivileged()
	out.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
	out.RunAsUser = ptr.To[int64](0)
	out.RunAsGroup = ptr.To[int64](0)
	return out
}
