package addon

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// NodeCritical adds to a pod's labels that its node is not ready for workload without it.
// A gardenlet takes the taint critical-components-not-ready off when all such pods of a node are ready.
func NodeCritical(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	out["node.gardener.cloud/critical-component"] = "true"
	return out
}

// EveryNode tolerates everything: without such a pod a node would never become usable.
func EveryNode() []corev1.Toleration {
	return []corev1.Toleration{
		{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	}
}

// NetworkAdmin lets root change links, routes and packet filters of the node's network namespace, and nothing else.
func NetworkAdmin() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_ADMIN"}},
		ReadOnlyRootFilesystem:   ptr.To(true),
		RunAsUser:                ptr.To[int64](0),
		RunAsGroup:               ptr.To[int64](0),
	}
}
