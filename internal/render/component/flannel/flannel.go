// Package flannel turns a cluster into the pod network of its nodes.
// Used by render/catalog.
package flannel

import (
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
)

const (
	name      = "flannel"
	program   = "/usr/local/bin/flanneld"
	dirConfig = "/etc/kube-flannel"

	volumeConfig = "config"
	volumeCNI    = "cni-conf"
	// fileCNI is written by the program itself, and only when the network is up: its appearance makes the node ready.
	fileCNI = layout.DirCNIConf + "/10-flannel.conflist"

	fileKubeconfig = "kubeconfig"
	fileNetwork    = "net-conf.json"
)

// New returns flannel.
func New() component.Component {
	return component.Component{
		Name:   name,
		Images: []string{image.Flannel},
		Wanted: wanted,
		Check: func(c *cluster.Cluster) error {
			_, err := networkConfiguration(c)
			return err
		},
		Objects: objects,
	}
}

func wanted(c *cluster.Cluster) bool {
	return c.Shoot.Spec.Networking != nil && ptr.Deref(c.Shoot.Spec.Networking.Type, "") == cluster.NetworkFlannel
}

func objects(in component.Input) ([]component.Object, error) {
	ref, err := in.Images.Reference(image.Flannel)
	if err != nil {
		return nil, fmt.Errorf("render flannel: %w", err)
	}
	network, err := networkConfiguration(in.Cluster)
	if err != nil {
		return nil, fmt.Errorf("render flannel: %w", err)
	}
	config := addon.ConfigMap(name, map[string]string{fileNetwork: network, fileKubeconfig: addon.Kubeconfig(in.Cluster)})
	return []component.Object{
		addon.ServiceAccount(name),
		addon.ClusterRole("gardenadm:flannel",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch"}},
			// flannel publishes the node's tunnel end as annotations, through the status subresource.
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/status"}, Verbs: []string{"patch"}},
		),
		addon.Bind("gardenadm:flannel", "gardenadm:flannel", addon.Account(name)),
		config,
		addon.DaemonSet(name, map[string]string{"app": name, "role": "network"}, addon.Checksum(config), container(ref),
			addon.ConfigVolume(volumeConfig, name),
			corev1.Volume{Name: volumeCNI, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: layout.DirCNIConf, Type: ptr.To(corev1.HostPathDirectoryOrCreate),
			}}}),
	}, nil
}

func container(ref string) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           ref,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{
			program,
			"--cni-conf=" + fileCNI,
			"--config=" + dirConfig + "/" + fileNetwork,
			"--healthz-bind-address=" + net.JoinHostPort("127.0.0.1", strconv.Itoa(layout.PortFlannelHealthz)),
			"--kubeconfig=" + dirConfig + "/" + fileKubeconfig,
			"--node-ip=$(NODE_IP)",
			"--node-name=$(NODE_NAME)",
		},
		Env: []corev1.EnvVar{fromField("NODE_NAME", "spec.nodeName"), fromField("NODE_IP", "status.hostIP")},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
		}},
		SecurityContext: addon.NetworkAdmin(),
		LivenessProbe:   probe("/healthz", 10),
		ReadinessProbe:  probe("/readyz", 1), // once the network is up
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeConfig, MountPath: dirConfig, ReadOnly: true},
			{Name: volumeCNI, MountPath: layout.DirCNIConf},
		},
	}
}

func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

func probe(path string, period int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: "127.0.0.1", Port: intstr.FromInt32(layout.PortFlannelHealthz), Path: path, Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, TimeoutSeconds: 5, FailureThreshold: 6,
	}
}
