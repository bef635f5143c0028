package apiserver

import (
	"errors"
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

// check refuses what refers to objects of a garden: an API server without the wished authorization would be worse than none.
func check(config gardencore.KubeAPIServerConfig) error {
	var errs []error
	refuse := func(field string) {
		errs = append(errs, fmt.Errorf("spec.kubernetes.kubeAPIServer.%s: not supported yet", field))
	}
	if config.AuditConfig != nil && config.AuditConfig.AuditPolicy != nil && config.AuditConfig.AuditPolicy.ConfigMapRef != nil {
		refuse("auditConfig.auditPolicy.configMapRef")
	}
	if config.StructuredAuthentication != nil {
		refuse("structuredAuthentication")
	}
	if config.StructuredAuthorization != nil {
		refuse("structuredAuthorization")
	}
	for _, plugin := range config.AdmissionPlugins {
		if plugin.KubeconfigSecretName != nil {
			refuse("admissionPlugins[" + plugin.Name + "].kubeconfigSecretName")
		}
	}
	return errors.Join(errs...)
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

// admissionFlags: NodeRestriction on top of Kubernetes' own defaults, then what the Shoot says.
func admissionFlags(config gardencore.KubeAPIServerConfig) []string {
	enabled, disabled := []string{"NodeRestriction"}, []string(nil)
	for _, plugin := range config.AdmissionPlugins {
		switch {
		case ptr.Deref(plugin.Disabled, false):
			disabled = append(disabled, plugin.Name)
		case !slices.Contains(enabled, plugin.Name):
			enabled = append(enabled, plugin.Name)
		}
	}
	out := []string{"--enable-admission-plugins=" + strings.Join(enabled, ",")}
	if len(disabled) > 0 {
		out = append(out, "--disable-admission-plugins="+strings.Join(disabled, ","))
	}
	if len(configured(config)) > 0 {
		out = append(out, "--admission-control-config-file="+dirAdmission+"/"+fileAdmission)
	}
	return out
}

// configured returns the admission plugins that bring a configuration.
func configured(config gardencore.KubeAPIServerConfig) []gardencore.AdmissionPlugin {
	var out []gardencore.AdmissionPlugin
	for _, plugin := range config.AdmissionPlugins {
		if plugin.Config != nil && !ptr.Deref(plugin.Disabled, false) {
			out = append(out, plugin)
		}
	}
	return out
}
