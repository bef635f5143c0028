package coredns

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/addon"
)

const (
	dirConfig = "/etc/coredns"
	volume    = "config"
)

func deployment(c *cluster.Cluster, ref string, checksum map[string]string) *appsv1.Deployment {
	out := addon.Deployment(c, name, replicas(c), labels(), checksum, container(ref), addon.ConfigVolume(volume, name))
	if replicas(c) > 1 {
		out.Spec.Template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{spread(corev1.LabelHostname), spread(corev1.LabelTopologyZone)}
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
		SecurityContext: addon.Unprivileged(),
		LivenessProbe:   probe(portHealth, "/health", 10),
		ReadinessProbe:  probe(portReady, "/ready", 1),
		VolumeMounts:    []corev1.VolumeMount{{Name: volume, MountPath: dirConfig, ReadOnly: true}},
	}
}

func probe(port int32, path string, period int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(port), Path: path, Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: 5, FailureThreshold: 6,
	}
}
