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
	taintControlPlane     = "node-role.kubernetes.io/control-plane"
)

// nodeLabels are the labels that kubelet registers its Node with, as key=value (contract node-agent-and-osc §3.1):
// the version first, the others sorted.
func nodeLabels(c *cluster.Cluster, pool cluster.Pool) ([]string, error) {
	key, err := Key(c, pool)
	if err != nil {
		return nil, err
	}
	labels := maps.Clone(pool.Worker.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelRole] = "node"
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

	delete(labels, constants.LabelWorkerKubernetesVersion)
	out := []string{constants.LabelWorkerKubernetesVersion + "=" + c.KubeletVersion(pool)}
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

// taints are those that kubelet registers its Node with (contract node-agent-and-osc §3.1 registerWithTaints).
func taints(c *cluster.Cluster, pool cluster.Pool) []corev1.Taint {
	out := slices.Clone(pool.Worker.Taints)
	add := func(key string) {
		if !slices.ContainsFunc(out, func(taint corev1.Taint) bool { return taint.Key == key }) {
			out = append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	if c.Standalone.CriticalComponentsTaint {
		add(constants.TaintNodeCriticalComponentsNotReady)
	}
	if pool.ControlPlane && !c.SharedControlPlane() {
		add(taintControlPlane)
	}
	return out
}
