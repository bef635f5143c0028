package controllermanager

import (
	"fmt"
	"path"
	"strconv"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/workload"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// flags follows contract control-plane §3. Leader election keeps its defaults: a shorter lease would be lost
// on every hiccup of a slow disk, and each loss is a restart.
func flags(c *cluster.Cluster) []string {
	config := ptr.Deref(c.Shoot.Spec.Kubernetes.KubeControllerManager, gardencore.KubeControllerManagerConfig{})
	out := []string{
		"--authentication-kubeconfig=" + workload.FileKubeconfig,
		"--authorization-kubeconfig=" + workload.FileKubeconfig,
		"--bind-address=127.0.0.1",
		// Both authorities are named, or it would look them up in the API and end when the roles for that are not there yet.
		"--client-ca-file=" + path.Join(dirClientCA, secret.DataCACert),
		"--requestheader-client-ca-file=" + path.Join(dirFrontProxyCA, workload.DataBundle),
		"--cluster-name=" + metav1.NamespaceSystem,
		"--controllers=*,bootstrapsigner,tokencleaner",
		// The API server's own fairness decides; the default of 20 requests a second delays the start of all controllers by seconds.
		"--kube-api-burst=200",
		"--kube-api-qps=100",
		"--kubeconfig=" + workload.FileKubeconfig,
		"--leader-elect=true",
		"--node-monitor-grace-period=" + duration(config.NodeMonitorGracePeriod, "40s"),
		"--profiling=false",
		"--root-ca-file=" + path.Join(dirCA, workload.DataBundle),
		"--secure-port=" + strconv.Itoa(layout.PortControllerManager),
		"--service-account-private-key-file=" + path.Join(dirServiceAccount, secret.DataSigningKey),
		"--use-service-account-credentials=true",
	}
	out = append(out, networkFlags(c, config)...)
	out = append(out, signerFlags()...)
	out = append(out, autoscalerFlags(config.HorizontalPodAutoscalerConfig)...)
	return append(out, workload.Switches("feature-gates", config.FeatureGates)...)
}

func networkFlags(c *cluster.Cluster, config gardencore.KubeControllerManagerConfig) []string {
	out := []string{
		"--allocate-node-cidrs=true",
		"--cluster-cidr=" + cluster.Join(c.Pods),
		"--service-cluster-ip-range=" + cluster.Join(c.Services),
	}
	v4 := fmt.Sprint(ptr.Deref(config.NodeCIDRMaskSize, 24))
	v6 := fmt.Sprint(ptr.Deref(config.NodeCIDRMaskSizeIPv6, 64))
	switch {
	case len(c.Pods) > 1:
		return append(out, "--node-cidr-mask-size-ipv4="+v4, "--node-cidr-mask-size-ipv6="+v6)
	case c.Pods[0].Addr().Is6():
		return append(out, "--node-cidr-mask-size="+v6)
	}
	return append(out, "--node-cidr-mask-size="+v4)
}

// signerFlags: who signs which certificate request. 30 days, so that a node that is lost for a while still gets back in.
func signerFlags() []string {
	out := []string{"--cluster-signing-duration=720h"}
	for signer, dir := range map[string]string{
		"kube-apiserver-client": dirClientCA,
		"kubelet-client":        dirClientCA,
		"kubelet-serving":       dirKubeletCA,
		"legacy-unknown":        dirClientCA,
	} {
		out = append(out,
			"--cluster-signing-"+signer+"-cert-file="+path.Join(dir, secret.DataCACert),
			"--cluster-signing-"+signer+"-key-file="+path.Join(dir, secret.DataCAKey),
		)
	}
	return out // workload.Command sorts
}

func autoscalerFlags(config *gardencore.HorizontalPodAutoscalerConfig) []string {
	if config == nil {
		return nil
	}
	var out []string
	for flag, value := range map[string]*metav1.Duration{
		"cpu-initialization-period": config.CPUInitializationPeriod,
		"downscale-stabilization":   config.DownscaleStabilization,
		"initial-readiness-delay":   config.InitialReadinessDelay,
		"sync-period":               config.SyncPeriod,
	} {
		if value != nil {
			out = append(out, "--horizontal-pod-autoscaler-"+flag+"="+value.Duration.String())
		}
	}
	return append(out, workload.Optional("horizontal-pod-autoscaler-tolerance", config.Tolerance)...)
}

func duration(value *metav1.Duration, otherwise string) string {
	if value == nil {
		return otherwise
	}
	return value.Duration.String()
}
