package metricsserver

import (
	"fmt"
	"path"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
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
	return addon.Deployment(c, name, 1, labels(), checksum, container(ref),
		addon.ConfigVolume(volumeConfig, name),
		corev1.Volume{Name: volumeCertificate, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: certificate, DefaultMode: ptr.To[int32](0o440),
		}}})
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
		SecurityContext: addon.Unprivileged(),
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
