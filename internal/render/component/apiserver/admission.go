package apiserver

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

const (
	fileAdmission = "admission-configuration.yaml"
	// kubeConfigFile is the key of an admission plugin's configuration that names its kubeconfig.
	kubeConfigFile = "kubeConfigFile"
	// imagePolicyWebhook is the only plugin whose configuration is no object of an API.
	imagePolicyWebhook = "ImagePolicyWebhook"
)

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
		out = append(out, "--admission-control-config-file="+path.Join(dirAdmission, fileAdmission))
	}
	return out
}

// configured returns the admission plugins that bring a configuration or a kubeconfig.
func configured(config gardencore.KubeAPIServerConfig) []gardencore.AdmissionPlugin {
	var out []gardencore.AdmissionPlugin
	for _, plugin := range config.AdmissionPlugins {
		if (plugin.Config != nil || plugin.KubeconfigSecretName != nil) && !ptr.Deref(plugin.Disabled, false) {
			out = append(out, plugin)
		}
	}
	return out
}

// admissionFiles are the configurations of the Shoot's admission plugins and their kubeconfigs.
func admissionFiles(c *cluster.Cluster) ([]workload.Files, error) {
	plugins := configured(settings(c))
	if len(plugins) == 0 {
		return nil, nil
	}
	config := &apiserverv1.AdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AdmissionConfiguration"},
	}
	kubeconfigs := map[string][]byte{}
	for _, plugin := range plugins {
		at := "admissionPlugins[" + plugin.Name + "]"
		raw, err := pluginConfiguration(plugin, at)
		if err != nil {
			return nil, err
		}
		config.Plugins = append(config.Plugins, apiserverv1.AdmissionPluginConfiguration{
			Name: plugin.Name, Configuration: &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON},
		})
		if plugin.KubeconfigSecretName != nil {
			if kubeconfigs[fileKubeconfigOf(plugin.Name)], err = kubeconfig(c, at+".kubeconfigSecretName", *plugin.KubeconfigSecretName); err != nil {
				return nil, err
			}
		}
	}
	out, err := encoded(name+"-admission", dirAdmission, fileAdmission, config)
	if err != nil || len(kubeconfigs) == 0 {
		return out, err
	}
	return append(out, workload.Secret(name+"-admission-kubeconfigs", dirAdmissionKubeconfigs, kubeconfigs)), nil
}

// pluginConfiguration is what the Shoot says about a plugin. One that asks another server gets the path of its kubeconfig, which the user
// cannot know.
func pluginConfiguration(plugin gardencore.AdmissionPlugin, at string) ([]byte, error) {
	if !slices.Contains(cluster.AdmissionPluginsWithKubeconfig(), plugin.Name) {
		return plugin.Config.Raw, nil
	}
	var whole map[string]any
	if plugin.Config != nil {
		if err := json.Unmarshal(plugin.Config.Raw, &whole); err != nil {
			return nil, wrong(at+".config", "read configuration: %w", err)
		}
	}
	if whole == nil {
		whole = emptyConfiguration(plugin.Name)
	}
	target := whole
	if plugin.Name == imagePolicyWebhook {
		policy, ok := whole["imagePolicy"].(map[string]any)
		if !ok {
			return nil, wrong(at+".config", "imagePolicy is missing")
		}
		target = policy
	}
	switch {
	case target[kubeConfigFile] != nil:
		return nil, wrong(at+".config", "%s is not a file of the user's: name a Secret in kubeconfigSecretName", kubeConfigFile)
	case plugin.KubeconfigSecretName != nil:
		target[kubeConfigFile] = path.Join(dirAdmissionKubeconfigs, fileKubeconfigOf(plugin.Name))
	}
	return json.Marshal(whole)
}

func emptyConfiguration(plugin string) map[string]any {
	if plugin == imagePolicyWebhook {
		return map[string]any{"imagePolicy": map[string]any{}}
	}
	return map[string]any{"apiVersion": apiserverv1.SchemeGroupVersion.String(), "kind": "WebhookAdmissionConfiguration"}
}
