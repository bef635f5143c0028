// Package system turns a cluster into the namespace, roles and facts that others build on.
// Used by render/catalog.
package system

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// roleRotate lets a node have its own client certificate renewed (contract node-agent-and-osc §5: bindings are named like roles).
const roleRotate = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"

// New returns the system component.
func New() component.Component {
	return component.Component{Name: "system", Objects: objects}
}

func objects(in component.Input) ([]component.Object, error) {
	return []component.Object{
		namespace(metav1.NamespaceSystem, systemLabels(in.Cluster)),
		// Nothing in it needs more than baseline (contract control-plane §1: the runtime's controllers).
		namespace("garden", map[string]string{labelEnforce: "baseline", "pod-security.kubernetes.io/warn": "restricted"}),
		addon.Bind(secret.GroupAdmins, "cluster-admin", addon.Group(secret.GroupAdmins)),
		addon.Bind(secret.KubeletClient().CommonName, "system:kubelet-api-admin", addon.User(secret.KubeletClient().CommonName)),
		addon.Bind(roleRotate, roleRotate, addon.Group("system:nodes")),
		addon.ConfigMap("shoot-info", shootInfo(in.Cluster)),
	}, nil
}

const labelEnforce = "pod-security.kubernetes.io/enforce"

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
	}
}

// systemLabels are those that extensions depend on (contract extension-contract §5). The pod network and kube-proxy need privileges.
func systemLabels(c *cluster.Cluster) map[string]string {
	provider := c.Shoot.Spec.Provider.Type
	return map[string]string{
		labelEnforce:                                                 "privileged",
		"gardener.cloud/role":                                        "shoot",
		"seed.gardener.cloud/provider":                               provider,
		"shoot.gardener.cloud/provider":                              provider,
		"networking.shoot.gardener.cloud/provider":                   ptr.Deref(c.Shoot.Spec.Networking.Type, ""),
		"high-availability-config.resources.gardener.cloud/consider": "true",
	}
}

// shootInfo tells pods and tools about the Shoot (contract control-plane §4). What is not known has no key.
func shootInfo(c *cluster.Cluster) map[string]string {
	out := map[string]string{
		"extensions":        strings.Join(extensions(c), ","),
		"projectName":       c.Project.Name,
		"shootNamespace":    c.Shoot.Namespace,
		"shootName":         c.Shoot.Name,
		"provider":          c.Shoot.Spec.Provider.Type,
		"region":            c.Shoot.Spec.Region,
		"kubernetesVersion": c.KubernetesVersion(),
		"domain":            c.Domain(),
		"uid":               string(c.Shoot.UID),
		"statusUID":         c.UID,
		"serviceNetwork":    c.Services[0].String(),
		"serviceNetworks":   cluster.Join(c.Services),
		"podNetwork":        c.Pods[0].String(),
		"podNetworks":       cluster.Join(c.Pods),
		"nodeNetwork":       c.Nodes[0].String(),
		"nodeNetworks":      cluster.Join(c.Nodes),
	}
	if maintenance := c.Shoot.Spec.Maintenance; maintenance != nil && maintenance.TimeWindow != nil {
		out["maintenanceBegin"] = maintenance.TimeWindow.Begin
		out["maintenanceEnd"] = maintenance.TimeWindow.End
	}
	maps.DeleteFunc(out, func(_, value string) bool { return value == "" })
	return out
}

func extensions(c *cluster.Cluster) []string {
	var out []string
	for _, extension := range c.Shoot.Spec.Extensions {
		if !ptr.Deref(extension.Disabled, false) {
			out = append(out, extension.Type)
		}
	}
	return slices.Sorted(slices.Values(out))
}
