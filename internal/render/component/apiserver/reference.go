package apiserver

import (
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// wrong is a fault of a field below spec.kubernetes.kubeAPIServer, or of what it refers to.
func wrong(path, format string, args ...any) error {
	return fault.New(fault.BadManifest, "spec.kubernetes.kubeAPIServer.%s: %w", path, fmt.Errorf(format, args...))
}

// place is the object's name and, where it was read from a file, that one.
func place(c *cluster.Cluster, object metav1.Object) string {
	origin, ok := c.Manifests.Origins[object]
	if !ok || origin.File == "" {
		return object.GetName()
	}
	return fmt.Sprintf("%s (%s)", object.GetName(), origin)
}

// configMap reads a configuration file of kube-apiserver out of the ConfigMap that a field names, strictly: a typo in a policy
// must not be a policy. versions are the API versions that pass; they differ in nothing that out has.
func configMap(c *cluster.Cluster, path, name, key, kind string, versions []string, out any) (text string, err error) {
	object := c.ConfigMap(name)
	if object == nil || object.Data[key] == "" {
		return "", wrong(path, "ConfigMap %s/%s with the key %s is not among the manifests", c.Shoot.Namespace, name, key)
	}
	text, name = object.Data[key], place(c, object)
	var header metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(text), &header); err != nil {
		return "", wrong(path, "read key %s of ConfigMap %s: %w", key, name, err)
	}
	if header.Kind != kind || !slices.Contains(versions, header.APIVersion) {
		return "", wrong(path, "key %s of ConfigMap %s has the kind %q of %q, want %s of %q", key, name, header.Kind, header.APIVersion, kind, versions)
	}
	if err := yaml.UnmarshalStrict([]byte(text), out); err != nil {
		return "", wrong(path, "read key %s of ConfigMap %s: %w", key, name, err)
	}
	return text, nil
}

// kubeconfig reads the kubeconfig of a server that kube-apiserver asks out of the Secret that a field names.
func kubeconfig(c *cluster.Cluster, path, name string) ([]byte, error) {
	object := c.Secret(name)
	if object == nil {
		return nil, wrong(path, "Secret %s/%s is not among the manifests", c.Shoot.Namespace, name)
	}
	raw := object.Data[cluster.KeyKubeconfig]
	if text, ok := object.StringData[cluster.KeyKubeconfig]; ok {
		raw = []byte(text)
	}
	name = place(c, object)
	var config clientcmdv1.Config
	// What is wrong with it is not repeated: the message might hold a part of a secret.
	if len(raw) == 0 || yaml.Unmarshal(raw, &config) != nil || len(config.Clusters)+len(config.AuthInfos) == 0 {
		return nil, wrong(path, "key %s of Secret %s is not a kubeconfig", cluster.KeyKubeconfig, name)
	}
	if err := selfContained(config); err != nil {
		return nil, wrong(path, "key %s of Secret %s: %w", cluster.KeyKubeconfig, name, err)
	}
	return raw, nil
}

// selfContained refuses files and programs: kube-apiserver's container has only its own.
func selfContained(config clientcmdv1.Config) error {
	for _, one := range config.Clusters {
		if one.Cluster.CertificateAuthority != "" {
			return errors.New("certificate-authority names a file: use certificate-authority-data")
		}
	}
	for _, one := range config.AuthInfos {
		user := one.AuthInfo
		if user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "" {
			return errors.New("a user has credentials in files: use client-certificate-data, client-key-data or token")
		}
		if user.Exec != nil || user.AuthProvider != nil {
			return errors.New("a user gets credentials from a program: kube-apiserver's container has none")
		}
	}
	return nil
}
