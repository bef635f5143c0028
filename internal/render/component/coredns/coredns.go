// Package coredns turns a cluster into its DNS server.
// Used by render/catalog.
package coredns

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
)

const (
	name = "coredns"
	// serviceName is what everybody calls the Service, whatever serves behind it.
	serviceName = "kube-dns"

	portDNS     = 8053 // contract control-plane §4: unprivileged
	portHealth  = 8080
	portReady   = 8181
	portMetrics = 9153
)

// New returns CoreDNS.
func New() component.Component {
	return component.Component{Name: name, Images: []string{image.CoreDNS}, Objects: objects}
}

func objects(in component.Input) ([]component.Object, error) {
	ref, err := in.Images.Reference(image.CoreDNS)
	if err != nil {
		return nil, fmt.Errorf("render coredns: %w", err)
	}
	config := addon.ConfigMap(name, map[string]string{fileCorefile: corefile(in.Cluster)})
	out := []component.Object{
		addon.ServiceAccount(name),
		addon.ClusterRole("gardenadm:coredns",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services", "pods", "namespaces"}, Verbs: []string{"list", "watch"}},
			rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
		),
		addon.Bind("gardenadm:coredns", "gardenadm:coredns", addon.Account(name)),
		config,
		service(in.Cluster),
		deployment(in.Cluster, ref, addon.Checksum(config)),
	}
	if replicas(in.Cluster) > 1 {
		out = append(out, disruptionBudget())
	}
	return out, nil
}

// replicas: two, unless the cluster can only ever have one node.
func replicas(c *cluster.Cluster) int32 {
	if len(c.Shoot.Spec.Provider.Workers) == 1 && c.ControlPlane.Worker.Maximum <= 1 {
		return 1
	}
	return 2
}

func labels() map[string]string { return map[string]string{"k8s-app": serviceName} }

func service(c *cluster.Cluster) *corev1.Service {
	out := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: addon.Meta(serviceName, addon.SystemLabels(labels())),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: labels(),
			Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, TargetPort: intstr.FromInt32(portDNS), Protocol: corev1.ProtocolUDP},
				{Name: "dns-tcp", Port: 53, TargetPort: intstr.FromInt32(portDNS), Protocol: corev1.ProtocolTCP},
				{Name: "metrics", Port: portMetrics, TargetPort: intstr.FromInt32(portMetrics), Protocol: corev1.ProtocolTCP},
			},
		},
	}
	for _, ip := range c.DNSServiceIPs() {
		out.Spec.ClusterIPs = append(out.Spec.ClusterIPs, ip.String())
	}
	out.Spec.ClusterIP = out.Spec.ClusterIPs[0]
	return out
}

func disruptionBudget() *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: policyv1.SchemeGroupVersion.String(), Kind: "PodDisruptionBudget"},
		ObjectMeta: addon.Meta(name, addon.SystemLabels(labels())),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: &one,
			Selector:       &metav1.LabelSelector{MatchLabels: labels()},
		},
	}
}
