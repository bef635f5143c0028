package metricsserver

import (
	"fmt"
	"path"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	fileFrontProxyCA = "front-proxy-ca.crt"
	fileKubeletCA    = "kubelet-ca.crt"

	volumeConfig      = "config"
	volumeCertificate = "certificate"

	dirConfig      = "/etc/metrics-server"
	dirCertificate = "/etc/metrics-server-certificate"
)

func deployment(c *cluster.Cluster, ref, certificate string, checksum map[string]string) *appsv1.Deployment {
	one := intstr.FromInt32(1)
	zero := intstr.FromInt32(0)
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: addon.Meta(name, addon.SystemLabels(labels())),
		Spec: appsv1.DeploymentSpec{
			Replicas:             ptr.To[int32](1),
			RevisionHistoryLimit: ptr.To[int32](2),
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &one, MaxUnavailable: &zero},
			},
			Selector: &metav1.LabelSelector{MatchLabels: labels()},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: addon.SystemLabels(labels()), Annotations: checksum},
				Spec:       podSpec(c, ref, certificate),
			},
		},
	}
}

func podSpec(c *cluster.Cluster, ref, certificate string) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: name,
		DNSPolicy:          corev1.DNSDefault, // it resolves nothing
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
		Volumes: []corev1.Volume{
			{Name: volumeConfig, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: name},
			}}},
			{Name: volumeCertificate, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
				SecretName: certificate, DefaultMode: ptr.To[int32](0o440),
			}}},
		},
	}
}

func container(ref string) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           ref,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            flags(),
		Ports:           []corev1.ContainerPort{{Name: "https", ContainerPort: portServer, Protocol: corev1.ProtocolTCP}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("50Mi"),
		}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem:   ptr.To(true),
		},
		// It is ready once it serves. Its own /readyz also wants two rounds of figures, half a minute, and fails when no kubelet answers:
		// the API would then be gone, and with it the deletion of namespaces, where kubectl top can say that there are no figures.
		StartupProbe:  probe(1, 120),
		LivenessProbe: probe(10, 6),
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeConfig, MountPath: dirConfig, ReadOnly: true},
			{Name: volumeCertificate, MountPath: dirCertificate, ReadOnly: true},
		},
	}
}

// flags name all that it would look up otherwise: it would end, and wait for the kubelet's back-off, when it starts before kube-proxy
// has made the API server's address reachable.
func flags() []string {
	return []string{
		"--authentication-skip-lookup",
		"--kubelet-certificate-authority=" + path.Join(dirConfig, fileKubeletCA),
		"--kubelet-preferred-address-types=InternalIP",
		"--metric-resolution=15s",
		"--requestheader-allowed-names=" + secret.Aggregator().CommonName,
		"--requestheader-client-ca-file=" + path.Join(dirConfig, fileFrontProxyCA),
		fmt.Sprintf("--secure-port=%d", portServer),
		"--tls-cert-file=" + path.Join(dirCertificate, secret.DataCert),
		"--tls-private-key-file=" + path.Join(dirCertificate, secret.DataKey),
	}
}

func probe(period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(portServer), Path: "/livez", Scheme: corev1.URISchemeHTTPS}},
		PeriodSeconds: period, TimeoutSeconds: 5, FailureThreshold: failures,
	}
}
