package addon

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// revisions is how many former pod templates are kept.
const revisions = 2

// DaemonSet runs a container in the host network of every node, which is not ready for workload without it. The labels select its pods;
// the service account and the DaemonSet have the same name.
func DaemonSet(name string, labels, checksum map[string]string, container corev1.Container, volumes ...corev1.Volume) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: Meta(name, NodeCritical(SystemLabels(labels))),
		Spec: appsv1.DaemonSetSpec{
			Selector:             &metav1.LabelSelector{MatchLabels: labels},
			RevisionHistoryLimit: ptr.To[int32](revisions),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: NodeCritical(SystemLabels(labels)), Annotations: checksum},
				Spec: corev1.PodSpec{
					ServiceAccountName: name,
					HostNetwork:        true,
					DNSPolicy:          corev1.DNSDefault, // the cluster's DNS needs what runs here
					PriorityClassName:  "system-node-critical",
					Tolerations:        EveryNode(),
					EnableServiceLinks: ptr.To(false),
					SecurityContext:    &corev1.PodSecurityContext{SeccompProfile: seccomp()},
					Containers:         []corev1.Container{container},
					Volumes:            volumes,
				},
			},
		},
	}
}

// Deployment runs a container without rights on nodes for system components, with the node's name servers. The labels select its pods;
// the service account and the Deployment have the same name. A new pod is ready before an old one goes, with one replica too.
func Deployment(c *cluster.Cluster, name string, replicas int32, labels, checksum map[string]string, container corev1.Container, volumes ...corev1.Volume) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: Meta(name, SystemLabels(labels)),
		Spec: appsv1.DeploymentSpec{
			Replicas:             ptr.To(replicas),
			RevisionHistoryLimit: ptr.To[int32](revisions),
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.FromInt32(1)), MaxUnavailable: ptr.To(intstr.FromInt32(0))},
			},
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: SystemLabels(labels), Annotations: checksum},
				Spec: corev1.PodSpec{
					ServiceAccountName: name,
					DNSPolicy:          corev1.DNSDefault,
					PriorityClassName:  "system-cluster-critical",
					EnableServiceLinks: ptr.To(false),
					NodeSelector:       SystemNodes(),
					Tolerations:        SystemTolerations(c),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot:   ptr.To(true),
						RunAsUser:      ptr.To[int64](layout.UID),
						RunAsGroup:     ptr.To[int64](layout.UID),
						FSGroup:        ptr.To[int64](layout.UID),
						SeccompProfile: seccomp(),
					},
					Containers: []corev1.Container{container},
					Volumes:    volumes,
				},
			},
		},
	}
}

func seccomp() *corev1.SeccompProfile {
	return &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
}

// ConfigVolume is the ConfigMap of a component as a volume of its pods.
func ConfigVolume(volume, config string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: config},
	}}}
}
