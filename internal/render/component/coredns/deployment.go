package coredns

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/addon"
)

const (
	dirConfig = "/etc/coredns"
	volume    = "config"
)

func deployment(c *cluster.Cluster, ref string, checksum map[string]string) *appsv1.Deployment {
	one := intstr.FromInt32(1)
	zero := intstr.FromInt32(0)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: addon.Meta(name, addon.SystemLabels(labels())),
		Spec: appsv1.DeploymentSpec{
			Replicas:             ptr.To(replicas(c)),
			RevisionHistoryLimit: ptr.To[int32](2),
			// Names resolve all through an update, with one replica too.
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &zero},
			},
			Selector: &metav1.LabelSelector{MatchLabels: labels()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: addon.SystemLabels(labels()), Annotations: checksum},
				Spec:       podSpec(c, ref),
			},
		},
	}
}

func podSpec(c *cluster.Cluster, ref string) corev1.PodSpec {
	out := corev1.PodSpec{
		ServiceAccountName: name,
		DNSPolicy:          corev1.DNSDefault, // it forwards to the node's name servers
		PriorityClassName:  "system-cluster-critical",
		EnableServiceLinks: ptr.To(false),
		NodeSelector:       addon.SystemNodes(),
		Tolerations:        addon.SystemTolerations(c),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   ptr.To(true),
			RunAsUser:      ptr.To[int64](layout.UID),
			RunAsGroup:     ptr.To[int64](layout.UID),
			FSGroup:        ptr.To[int64](layout.UID),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{container(ref)},
		Volumes: []corev1.Volume{{Name: volume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name},
		}}}},
	}
	if replicas(c) > 1 {
		out.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{spread(corev1.LabelHostname), spread(corev1.LabelTopologyZone)}
	}
	return out
}

// spread prefers and does not insist: the first node must be able to run both replicas until there is another.
func spread(topology string) corev1.TopologySpreadConstraint {
	return corev1.TopologySpreadConstraint{
		MaxSkew:           1,
		TopologyKey:       topology,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: labels()},
	}
}

func container(ref string) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           ref,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{"/coredns", "-conf", dirConfig + "/" + fileCorefile},
		Ports: []corev1.ContainerPort{
			{Name: "dns-udp", ContainerPort: portDNS, Protocol: corev1.ProtocolUDP},
			{Name: "dns-tcp", ContainerPort: portDNS, Protocol: corev1.ProtocolTCP},
			{Name: "metrics", ContainerPort: portMetrics, Protocol: corev1.ProtocolTCP},
		},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("30Mi"),
		}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem:   ptr.To(true),
		},
		LivenessProbe:  probe(portHealth, "/health", 10),
		ReadinessProbe: probe(portReady, "/ready", 1),
		VolumeMounts:   []corev1.VolumeMount{{Name: volume, MountPath: dirConfig, ReadOnly: true}},
	}
}

func probe(port int32, path string, period int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(port), Path: path, Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: 5, FailureThreshold: 6,
	}
}
