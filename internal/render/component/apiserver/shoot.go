package apiserver

import (
	"fmt"
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

// settings returns the Shoot's spec.kubernetes.kubeAPIServer, empty when there is none (contract shoot-api §2).
func settings(c *cluster.Cluster) gardencore.KubeAPIServerConfig {
	return ptr.Deref(c.Shoot.Spec.Kubernetes.KubeAPIServer, gardencore.KubeAPIServerConfig{})
}

// shootFlags are the settings that have a flag of their own.
func shootFlags(config gardencore.KubeAPIServerConfig) []string {
	out := []string{
		"--api-audiences=" + strings.Join(audiences(config), ","),
		"--tls-min-version=" + ptr.Deref(config.TLSMinVersion, "VersionTLS12"),
	}
	eventTTL := "1h0m0s"
	if config.EventTTL != nil {
		eventTTL = config.EventTTL.Duration.String()
	}
	out = append(out, "--event-ttl="+eventTTL)
	out = append(out, workload.Switches("feature-gates", config.FeatureGates)...)
	out = append(out, workload.Switches("runtime-config", config.RuntimeConfig)...)
	out = append(out, workload.Optional("default-not-ready-toleration-seconds", config.DefaultNotReadyTolerationSeconds)...)
	out = append(out, workload.Optional("default-unreachable-toleration-seconds", config.DefaultUnreachableTolerationSeconds)...)
	if requests := config.Requests; requests != nil {
		out = append(out, workload.Optional("max-requests-inflight", requests.MaxNonMutatingInflight)...)
		out = append(out, workload.Optional("max-mutating-requests-inflight", requests.MaxMutatingInflight)...)
	}
	if logging := config.Logging; logging != nil {
		out = append(out, workload.Optional("v", logging.Verbosity)...)
		if logging.HTTPAccessVerbosity != nil {
			out = append(out, fmt.Sprintf("--vmodule=httplog=%d", *logging.HTTPAccessVerbosity))
		}
	}
	return append(append(out, watchCacheFlags(config)...), admissionFlags(config)...)
}

// audiences always holds gardener's, for which the tokens of its components are issued.
func audiences(config gardencore.KubeAPIServerConfig) []string {
	out := slices.Clone(config.APIAudiences)
	if len(out) == 0 {
		out = []string{"kubernetes"}
	}
	if !slices.Contains(out, "gardener") {
		out = append(out, "gardener")
	}
	return out
}

func watchCacheFlags(config gardencore.KubeAPIServerConfig) []string {
	if config.WatchCacheSizes == nil || len(config.WatchCacheSizes.Resources) == 0 {
		return nil
	}
	var sizes []string
	for _, size := range config.WatchCacheSizes.Resources {
		resource := size.Resource
		if group := ptr.Deref(size.APIGroup, ""); group != "" {
			resource += "." + group
		}
		sizes = append(sizes, fmt.Sprintf("%s#%d", resource, size.CacheSize))
	}
	return []string{"--watch-cache-sizes=" + strings.Join(sizes, ",")}
}
