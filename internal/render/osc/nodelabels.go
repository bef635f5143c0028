package osc

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	kubeletapis "k8s.io/kubelet/pkg/apis"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

const (
	labelRole             = "node.kubernetes.io/role"
	labelContainerRuntime = "containerruntime.worker.gardener.cloud/"
	labelWorker           = "node-role.kubernetes.io/worker"
	taintControlPlane     = "node-role.kubernetes.io/control-plane"
)

// NodeLabels are the labels of the pool's nodes (contract node-agent-and-osc §3.1), also those that kubelet may not give its Node.
// The role of a control plane node is not among them: a kubelet says itself which pool it is of, so that role is given by who knows better.
func NodeLabels(c *cluster.Cluster, pool cluster.Pool) (map[string]string, error) {
	key, err := Key(c, pool)
	if err != nil {
		return nil, err
	}
	labels := maps.Clone(pool.Worker.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelRole] = "node"
	labels[constants.LabelWorkerKubernetesVersion] = c.KubeletVersion(pool)
	if !pool.ControlPlane {
		labels[labelWorker] = ""
	}
	labels[constants.LabelNodeLocalDNS] = strconv.FormatBool(nodeLocalDNS(c.Shoot))
	labels[constants.LabelWorkerPool] = pool.Name
	labels[constants.LabelWorkerPoolDeprecated] = pool.Name
	labels[constants.LabelWorkerPoolGardenerNodeAgentSecretName] = key
	labels[extensionsv1alpha1.CRINameWorkerLabel] = string(extensionsv1alpha1.CRINameContainerD)
	if system := pool.Worker.SystemComponents; system == nil || system.Allow {
		labels[constants.LabelWorkerPoolSystemComponents] = "true"
	}
	// A wrong architecture would be believed, so without the user's word kubelet finds out itself.
	if architecture := pool.Worker.Machine.Architecture; architecture != nil {
		labels[corev1.LabelArchStable] = *architecture
	}
	if region := c.Shoot.Spec.Region; region != "" {
		labels[corev1.LabelTopologyRegion] = region
	}
	if pool.Worker.CRI != nil {
		for _, runtime := range pool.Worker.CRI.ContainerRuntimes {
			labels[labelContainerRuntime+runtime.Type] = "true"
		}
	}
	return labels, nil
}

// NodeAnnotations are the annotations of the pool's nodes that the user wants.
func NodeAnnotations(pool cluster.Pool) map[string]string { return maps.Clone(pool.Worker.Annotations) }

// kubeletLabels are the labels that kubelet registers its Node with, as key=value: the version first, the others sorted.
func kubeletLabels(c *cluster.Cluster, pool cluster.Pool) ([]string, error) {
	labels, err := NodeLabels(c, pool)
	if err != nil {
		return nil, err
	}
	const version = constants.LabelWorkerKubernetesVersion
	out := []string{version + "=" + labels[version]}
	delete(labels, version)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if maySet(key) {
			out = append(out, key+"="+labels[key])
		}
	}
	return out, nil
}

// maySet says whether kubelet may give its Node this label: it refuses to start with any other of Kubernetes' own,
// as the admission plugin NodeRestriction does.
func maySet(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	if !found {
		return true
	}
	for _, own := range []string{"kubernetes.io", "k8s.io"} {
		if domain == own || strings.HasSuffix(domain, "."+own) {
			return kubeletapis.IsKubeletLabel(key)
		}
	}
	return true
}

// NodeTaints are the taints that the pool's nodes have for good.
func NodeTaints(c *cluster.Cluster, pool cluster.Pool) []corev1.Taint {
	out := slices.Clone(pool.Worker.Taints)
	if pool.ControlPlane && !c.SharedControlPlane() {
		out = withTaint(out, taintControlPlane)
	}
	return out
}

// kubeletTaints are those that kubelet registers its Node with (contract node-agent-and-osc §3.1 registerWithTaints). The gardenlet takes
// away the one that keeps workload off until the pods are ready without which a node is of no use.
func kubeletTaints(c *cluster.Cluster, pool cluster.Pool) []corev1.Taint {
	return withTaint(NodeTaints(c, pool), constants.TaintNodeCriticalComponentsNotReady)
}

func withTaint(taints []corev1.Taint, key string) []corev1.Taint {
	if slices.ContainsFunc(taints, func(taint corev1.Taint) bool { return taint.Key == key }) {
		return taints
	}
	return append(taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
}
