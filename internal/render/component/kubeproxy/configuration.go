package kubeproxy

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/addon"
)

const (
	fileConfig     = "config.yaml"
	fileKubeconfig = "kubeconfig"
)

func files(c *cluster.Cluster) (map[string]string, error) {
	raw, err := yaml.Marshal(configuration(c))
	if err != nil {
		return nil, fmt.Errorf("encode KubeProxyConfiguration: %w", err)
	}
	return map[string]string{fileConfig: string(raw), fileKubeconfig: addon.Kubeconfig(c)}, nil
}

// configuration renders kube-proxy's file; fields that are empty in it stand for kube-proxy's defaults.
func configuration(c *cluster.Cluster) *proxyv1alpha1.KubeProxyConfiguration {
	out := &proxyv1alpha1.KubeProxyConfiguration{
		TypeMeta:     metav1.TypeMeta{APIVersion: proxyv1alpha1.SchemeGroupVersion.String(), Kind: "KubeProxyConfiguration"},
		FeatureGates: settings(c).FeatureGates,
		Mode:         proxyv1alpha1.ProxyMode(strings.ToLower(string(ptr.Deref(settings(c).Mode, gardencore.ProxyModeNFTables)))),
		ClusterCIDR:  cluster.Join(c.Pods),
		// Load balancers ask every node for its health; metrics are nobody's business but the node's.
		HealthzBindAddress: net.JoinHostPort("0.0.0.0", strconv.Itoa(layout.PortKubeProxyHealthz)),
		MetricsBindAddress: net.JoinHostPort("127.0.0.1", strconv.Itoa(layout.PortKubeProxyMetrics)),
		// OOMScoreAdj stays empty: without the capability to lower its score kube-proxy keeps the one that kubelet gave it,
		// which for this priority class is next to the lowest; 0 would make it an early victim.

		// Zero leaves the sysctls alone: they are the node configuration's, and read-only in nested network namespaces.
		Conntrack: proxyv1alpha1.KubeProxyConntrackConfiguration{
			MaxPerCore:            ptr.To[int32](0),
			Min:                   ptr.To[int32](0),
			TCPEstablishedTimeout: &metav1.Duration{},
			TCPCloseWaitTimeout:   &metav1.Duration{},
		},
	}
	out.ClientConnection.Kubeconfig = dirConfig + "/" + fileKubeconfig
	return out
}
