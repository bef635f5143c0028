package apiserver

import (
	"errors"
	"fmt"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/workload"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const fileEncryption = "encryption-configuration.yaml"

// configFiles are the API server's own configuration files.
func configFiles(in component.Input) ([]workload.Files, error) {
	out, err := shootFiles(in.Cluster)
	if err != nil {
		return nil, err
	}
	key := string(in.Secrets.Get(encryptionKey().Name, "", secret.DataSymmetric))
	encryption, err := encryptionConfiguration(settings(in.Cluster), key)
	if err != nil {
		return nil, err
	}
	raw, err := yaml.Marshal(encryption)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", fileEncryption, err)
	}
	return append(out, workload.Secret(name+"-etcd-encryption-configuration", dirEncryption, map[string][]byte{fileEncryption: raw})), nil
}

// shootFiles are those that hold what the Shoot refers to. The error lists everything that is wrong with them.
func shootFiles(c *cluster.Cluster) ([]workload.Files, error) {
	var out []workload.Files
	var errs []error
	for _, build := range []func(*cluster.Cluster) ([]workload.Files, error){auditFiles, authenticationFiles, authorizationFiles, admissionFiles} {
		files, err := build(c)
		out, errs = append(out, files...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// encoded makes a directory of one configuration file.
func encoded(name, path, file string, object any) ([]workload.Files, error) {
	raw, err := yaml.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %s of %s: %w", file, name, err)
	}
	return []workload.Files{workload.Config(name, path, map[string]string{file: string(raw)})}, nil
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
		return nil, wrong("encryptionConfig.provider.type", "%q is none of aescbc, aesgcm, secretbox", provider)
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
