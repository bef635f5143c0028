// Package kubeproxy turns a cluster into the kube-proxy of its nodes.
// Used by render/catalog.
package kubeproxy

import (
	"fmt"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
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
	name      = "kube-proxy"
	dirConfig = "/var/lib/kube-proxy-config"
	// volume holds the configuration and the kubeconfig.
	volume = "config"
)

// New returns kube-proxy.
func New() component.Component {
	return component.Component{
		Name:    name,
		Images:  []string{image.KubeProxy},
		Wanted:  func(c *cluster.Cluster) bool { return ptr.Deref(settings(c).Enabled, true) },
		Objects: objects,
	}
}

// settings returns the Shoot's spec.kubernetes.kubeProxy, empty when there is none.
func settings(c *cluster.Cluster) gardencore.KubeProxyConfig {
	return ptr.Deref(c.Shoot.Spec.Kubernetes.KubeProxy, gardencore.KubeProxyConfig{})
}

func objects(in component.Input) ([]component.Object, error) {
	ref, err := in.Images.Reference(image.KubeProxy)
	if err != nil {
		return nil, fmt.Errorf("render kube-proxy: %w", err)
	}
	files, err := files(in.Cluster)
	if err != nil {
		return nil, fmt.Errorf("render kube-proxy: %w", err)
	}
	config := addon.ConfigMap(name, files)
	return []component.Object{
		addon.ServiceAccount(name),
		addon.Bind("gardenadm:kube-proxy", "system:node-proxier", addon.Account(name)),
		config,
		addon.DaemonSet(name, map[string]string{"app": "kubernetes", "role": "proxy"}, addon.Checksum(config), container(ref),
			addon.ConfigVolume(volume, name)),
	}, nil
}

func container(ref string) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           ref,
		ImagePullPolicy: corev1.PullIfNotPresent,
		// The name comes from the Node: a host name can differ from it.
		Command: []string{name, "--config=" + dirConfig + "/" + fileConfig, "--hostname-override=$(NODE_NAME)"},
		Env: []corev1.EnvVar{{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "spec.nodeName"},
		}}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
		}},
		// In mode nftables, the only one, kube-proxy talks netlink, through nft, and writes no sysctl once conntrack's are zero.
		SecurityContext: addon.NetworkAdmin(),
		LivenessProbe:   probe("/livez", 10),
		ReadinessProbe:  probe("/healthz", 1),
		VolumeMounts:    []corev1.VolumeMount{{Name: volume, MountPath: dirConfig, ReadOnly: true}},
	}
}

func probe(path string, period int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: "127.0.0.1", Port: intstr.FromInt32(layout.PortKubeProxyHealthz), Path: path, Scheme: corev1.URISchemeHTTP,
		}},
		PeriodSeconds: period, TimeoutSeconds: 5, FailureThreshold: 6,
	}
}
