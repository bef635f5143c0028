// Package metricsserver turns a cluster into the server of metrics.k8s.io, which kubectl top and autoscalers read.
// Used by render/catalog.
package metricsserver

import (
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/render/addon"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	name     = "metrics-server"
	apiGroup = "metrics.k8s.io"
	version  = "v1beta1"

	portService = 443
	portServer  = 8443
)

// New returns metrics-server.
func New() component.Component {
	return component.Component{Name: name, Images: []string{image.MetricsServer}, Secrets: secrets, Objects: objects}
}

func secrets(c *cluster.Cluster, _ []cluster.Node) []secret.Spec {
	return []secret.Spec{
		secret.Authority(secret.AuthorityFrontProxy),
		secret.Authority(secret.AuthorityKubelet),
		secret.Authority(secret.AuthorityMetricsServer),
		serving(c),
	}
}

// serving is what the API server sees; it asks for the Service's name, whichever address it dials.
func serving(c *cluster.Cluster) secret.Spec {
	return secret.Spec{
		Name: name, Kind: secret.Server, Signer: secret.AuthorityMetricsServer, CommonName: name,
		DNSNames: c.ServiceNames(name, metav1.NamespaceSystem),
	}
}

func objects(in component.Input) ([]component.Object, error) {
	ref, err := in.Images.Reference(image.MetricsServer)
	if err != nil {
		return nil, fmt.Errorf("render metrics-server: %w", err)
	}
	// The authorities' own Secrets hold their keys, too: a node may read what its pods mount.
	config := addon.ConfigMap(name, map[string]string{
		fileFrontProxyCA: string(in.Secrets.Get(secret.AuthorityFrontProxy, "", secret.DataCACert)),
		fileKubeletCA:    string(in.Secrets.Get(secret.AuthorityKubelet, "", secret.DataCACert)),
	})
	certificate := in.Secrets[serving(in.Cluster).Key()].ObjectName()
	return []component.Object{
		addon.ServiceAccount(name),
		addon.ClusterRole("gardenadm:metrics-server",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes", "pods"}, Verbs: []string{"list", "watch"}},
		),
		addon.Bind("gardenadm:metrics-server", "gardenadm:metrics-server", addon.Account(name)),
		addon.Bind("gardenadm:metrics-server:auth-delegator", "system:auth-delegator", addon.Account(name)),
		reader(),
		config,
		service(),
		deployment(in.Cluster, ref, certificate, addon.Checksum(config)),
		apiService(in.Secrets.Get(secret.AuthorityMetricsServer, "", secret.DataCACert)),
	}, nil
}

// reader lets whoever may view a namespace see what its pods use.
func reader() *rbacv1.ClusterRole {
	out := addon.ClusterRole("gardenadm:metrics-reader",
		rbacv1.PolicyRule{APIGroups: []string{apiGroup}, Resources: []string{"nodes", "pods"}, Verbs: []string{"get", "list"}},
	)
	out.Labels = map[string]string{
		"rbac.authorization.k8s.io/aggregate-to-admin": "true",
		"rbac.authorization.k8s.io/aggregate-to-edit":  "true",
		"rbac.authorization.k8s.io/aggregate-to-view":  "true",
	}
	return out
}

func labels() map[string]string { return map[string]string{"k8s-app": name} }

func service() *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: addon.Meta(name, addon.SystemLabels(labels())),
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: labels(),
			Ports:    []corev1.ServicePort{{Name: "https", Port: portService, TargetPort: intstr.FromInt32(portServer), Protocol: corev1.ProtocolTCP}},
		},
	}
}

// apiService is last: while nobody answers for it, discovery is slow and namespaces cannot be deleted. Its Go type would bring
// the API server's whole list of modules along.
func apiService(authority []byte) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1",
		"kind":       "APIService",
		"metadata":   map[string]any{"name": version + "." + apiGroup},
		"spec": map[string]any{
			"group":                apiGroup,
			"version":              version,
			"groupPriorityMinimum": int64(100),
			"versionPriority":      int64(100),
			"caBundle":             base64.StdEncoding.EncodeToString(authority),
			"service":              map[string]any{"namespace": metav1.NamespaceSystem, "name": name, "port": int64(portService)},
		},
	}}
}
