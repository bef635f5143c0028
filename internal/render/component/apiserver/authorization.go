package apiserver

import (
	"path"
	"slices"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

const (
	fileAuthorization = "config.yaml"
	// pathAuthorization is the Shoot's field.
	pathAuthorization = "structuredAuthorization"
)

func authorizationFlag(config gardencore.KubeAPIServerConfig) string {
	if config.StructuredAuthorization == nil {
		return "--authorization-mode=Node,RBAC"
	}
	return "--authorization-config=" + path.Join(dirAuthorization, fileAuthorization)
}

// authorizationFiles are the Shoot's authorizers and their kubeconfigs, none when it brings no authorizers.
func authorizationFiles(c *cluster.Cluster) ([]workload.Files, error) {
	wish := settings(c).StructuredAuthorization
	if wish == nil {
		return nil, nil
	}
	var config apiserverv1.AuthorizationConfiguration
	if _, err := configMap(c, pathAuthorization+".configMapName", wish.ConfigMapName, cluster.KeyStructuredConfig,
		"AuthorizationConfiguration", configVersions(), &config); err != nil {
		return nil, err
	}
	if err := connect(config.Authorizers, *wish); err != nil {
		return nil, err
	}
	kubeconfigs := map[string][]byte{}
	for _, one := range wish.Kubeconfigs {
		raw, err := kubeconfig(c, pathAuthorization+".kubeconfigs", one.SecretName)
		if err != nil {
			return nil, err
		}
		kubeconfigs[fileKubeconfigOf(one.AuthorizerName)] = raw
	}
	config.TypeMeta = metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AuthorizationConfiguration"}
	// Node and RBAC come first: what the cluster itself needs they allow, whether the webhooks answer or not.
	config.Authorizers = append([]apiserverv1.AuthorizerConfiguration{{Type: "Node", Name: "node"}, {Type: "RBAC", Name: "rbac"}}, config.Authorizers...)
	out, err := encoded(name+"-authorization", dirAuthorization, fileAuthorization, config)
	if err != nil {
		return nil, err
	}
	return append(out, workload.Secret(name+"-authorization-kubeconfigs", dirAuthorizationKubeconfigs, kubeconfigs)), nil
}

// connect gives each webhook its kubeconfig.
func connect(authorizers []apiserverv1.AuthorizerConfiguration, wish gardencore.StructuredAuthorization) error {
	refuse := func(format string, args ...any) error {
		return wrong(pathAuthorization+".configMapName", format, args...)
	}
	has := func(name string) func(gardencore.AuthorizerKubeconfigReference) bool {
		return func(one gardencore.AuthorizerKubeconfigReference) bool { return one.AuthorizerName == name }
	}
	for i := range authorizers {
		one := &authorizers[i]
		switch {
		case one.Type != "Webhook" || one.Webhook == nil:
			return refuse("authorizer %q is of the type %q: only webhooks can be added, Node and RBAC are always there", one.Name, one.Type)
		case len(validation.IsDNS1123Subdomain(one.Name)) > 0:
			return refuse("the authorizer's name %q is not a DNS name", one.Name)
		case one.Webhook.ConnectionInfo != apiserverv1.WebhookConnectionInfo{}:
			return refuse("authorizer %q has connectionInfo: it is made of the Shoot's %s.kubeconfigs", one.Name, pathAuthorization)
		case !slices.ContainsFunc(wish.Kubeconfigs, has(one.Name)):
			return refuse("authorizer %q has no entry in the Shoot's %s.kubeconfigs", one.Name, pathAuthorization)
		}
		file := path.Join(dirAuthorizationKubeconfigs, fileKubeconfigOf(one.Name))
		one.Webhook.ConnectionInfo = apiserverv1.WebhookConnectionInfo{
			Type: apiserverv1.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &file,
		}
	}
	for _, one := range wish.Kubeconfigs {
		if !slices.ContainsFunc(authorizers, func(a apiserverv1.AuthorizerConfiguration) bool { return a.Name == one.AuthorizerName }) {
			return wrong(pathAuthorization+".kubeconfigs", "there is no authorizer %q in ConfigMap %s", one.AuthorizerName, wish.ConfigMapName)
		}
	}
	return nil
}

// fileKubeconfigOf is how the kubeconfig of an authorizer or admission plugin is called.
func fileKubeconfigOf(name string) string { return name + "-kubeconfig.yaml" }
