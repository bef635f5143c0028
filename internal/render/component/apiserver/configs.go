package apiserver

import (
	"fmt"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/workload"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	fileAuditPolicy    = "audit-policy.yaml"
	fileAuthentication = "config.yaml"
	fileEncryption     = "encryption-configuration.yaml"
	fileAdmission      = "admission-configuration.yaml"
)

// configFiles are the API server's own configuration files.
func configFiles(in component.Input) ([]workload.Files, error) {
	config := settings(in.Cluster)
	encryption, err := encryptionConfiguration(config, string(in.Secrets.Get(encryptionKey().Name, "", secret.DataSymmetric)))
	if err != nil {
		return nil, err
	}
	type entry struct {
		name, path, file string
		object           any
	}
	entries := []entry{
		{name + "-audit-policy", dirAuditPolicy, fileAuditPolicy, auditPolicy()},
		{name + "-authentication", dirAuthentication, fileAuthentication, authenticationConfiguration()},
	}
	if plugins := configured(config); len(plugins) > 0 {
		entries = append(entries, entry{name + "-admission", dirAdmission, fileAdmission, admissionConfiguration(plugins)})
	}
	var out []workload.Files
	for _, e := range entries {
		raw, err := yaml.Marshal(e.object)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", e.file, err)
		}
		out = append(out, workload.Config(e.name, e.path, map[string]string{e.file: string(raw)}))
	}
	raw, err := yaml.Marshal(encryption)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", fileEncryption, err)
	}
	return append(out, workload.Secret(name+"-etcd-encryption-configuration", dirEncryption, map[string][]byte{fileEncryption: raw})), nil
}

// auditPolicy logs who changed what, never contents, and leaves out what would drown it: reads, events and the leases
// that every node and controller renews all the time.
func auditPolicy() *auditv1.Policy {
	return &auditv1.Policy{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages: []auditv1.Stage{auditv1.StageRequestReceived},
		Rules: []auditv1.PolicyRule{
			{Level: auditv1.LevelNone, Verbs: []string{"get", "list", "watch"}},
			{Level: auditv1.LevelNone, Resources: []auditv1.GroupResources{
				{Group: "", Resources: []string{"events"}},
				{Group: "events.k8s.io", Resources: []string{"events"}},
				{Group: "coordination.k8s.io", Resources: []string{"leases"}},
			}},
			{Level: auditv1.LevelMetadata},
		},
	}
}

// authenticationConfiguration lets the anonymous ask how the server is and, to join, which authority to trust.
func authenticationConfiguration() *apiserverv1.AuthenticationConfiguration {
	return &apiserverv1.AuthenticationConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AuthenticationConfiguration"},
		JWT:      []apiserverv1.JWTAuthenticator{},
		Anonymous: &apiserverv1.AnonymousAuthConfig{
			Enabled: true,
			Conditions: []apiserverv1.AnonymousAuthCondition{
				{Path: "/healthz"},
				{Path: "/livez"},
				{Path: "/readyz"},
				{Path: "/api/v1/namespaces/kube-public/configmaps/cluster-info"},
			},
		},
	}
}

// encryptionConfiguration encrypts Secrets and what the Shoot adds, with aescbc unless it says otherwise
// (contract control-plane §2, kube-apiserver-etcd-encryption-key).
func encryptionConfiguration(config gardencore.KubeAPIServerConfig, key string) (*apiserverv1.EncryptionConfiguration, error) {
	resources := []string{"secrets"}
	provider := gardencore.EncryptionProviderTypeAESCBC
	if config.EncryptionConfig != nil {
		resources = append(resources, config.EncryptionConfig.Resources...)
		if config.EncryptionConfig.Provider.Type != nil {
			provider = *config.EncryptionConfig.Provider.Type
		}
	}
	keys := []apiserverv1.Key{{Name: "key", Secret: key}}
	var encrypt apiserverv1.ProviderConfiguration
	switch provider {
	case gardencore.EncryptionProviderTypeAESCBC:
		encrypt.AESCBC = &apiserverv1.AESConfiguration{Keys: keys}
	case gardencore.EncryptionProviderTypeAESGCM:
		encrypt.AESGCM = &apiserverv1.AESConfiguration{Keys: keys}
	case gardencore.EncryptionProviderTypeSecretbox:
		encrypt.Secretbox = &apiserverv1.SecretboxConfiguration{Keys: keys}
	default:
		return nil, fmt.Errorf("spec.kubernetes.kubeAPIServer.encryptionConfig.provider.type: %q is none of aescbc, aesgcm, secretbox", provider)
	}
	return &apiserverv1.EncryptionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
		Resources: []apiserverv1.ResourceConfiguration{{
			Resources: resources,
			// The first one writes; identity reads what was written before encryption was switched on.
			Providers: []apiserverv1.ProviderConfiguration{encrypt, {Identity: &apiserverv1.IdentityConfiguration{}}},
		}},
	}, nil
}

func admissionConfiguration(plugins []gardencore.AdmissionPlugin) *apiserverv1.AdmissionConfiguration {
	out := &apiserverv1.AdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AdmissionConfiguration"},
	}
	for _, plugin := range plugins {
		out.Plugins = append(out.Plugins, apiserverv1.AdmissionPluginConfiguration{
			Name:          plugin.Name,
			Configuration: &runtime.Unknown{Raw: plugin.Config.Raw, ContentType: runtime.ContentTypeJSON},
		})
	}
	return out
}
