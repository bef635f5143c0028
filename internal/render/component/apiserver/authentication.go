package apiserver

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

const fileAuthentication = "config.yaml"

// configVersions are those of kube-apiserver's configuration files that have the same fields.
func configVersions() []string {
	return []string{apiserverv1.SchemeGroupVersion.String(), apiserverv1.SchemeGroupVersion.Group + "/v1beta1"}
}

func authenticationFiles(c *cluster.Cluster) ([]workload.Files, error) {
	config, err := authenticationConfiguration(c)
	if err != nil {
		return nil, err
	}
	return encoded(name+"-authentication", dirAuthentication, fileAuthentication, config)
}

// authenticationConfiguration is the Shoot's, together with what the anonymous must be allowed to ask.
func authenticationConfiguration(c *cluster.Cluster) (*apiserverv1.AuthenticationConfiguration, error) {
	out := &apiserverv1.AuthenticationConfiguration{JWT: []apiserverv1.JWTAuthenticator{}}
	if wish := settings(c).StructuredAuthentication; wish != nil {
		const path = "structuredAuthentication.configMapName"
		if _, err := configMap(c, path, wish.ConfigMapName, cluster.KeyStructuredConfig, "AuthenticationConfiguration", configVersions(), out); err != nil {
			return nil, err
		}
		if out.Anonymous != nil && !out.Anonymous.Enabled {
			return nil, wrong(path, "anonymous.enabled must be true, for health checks and joining nodes; conditions narrow it down to them")
		}
		if err := checkAuthenticators(out.JWT, issuers(c)); err != nil {
			return nil, wrong(path, "%w", err)
		}
	}
	out.TypeMeta = metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "AuthenticationConfiguration"}
	out.Anonymous = anonymous(out.Anonymous)
	return out, nil
}

// anonymous lets everybody ask how the server is and, to join, which authority to trust. Whoever wishes it without conditions gets it.
func anonymous(wish *apiserverv1.AnonymousAuthConfig) *apiserverv1.AnonymousAuthConfig {
	if wish != nil && len(wish.Conditions) == 0 {
		return wish
	}
	out := &apiserverv1.AnonymousAuthConfig{Enabled: true, Conditions: []apiserverv1.AnonymousAuthCondition{
		{Path: "/healthz"},
		{Path: "/livez"},
		{Path: "/readyz"},
		{Path: "/api/v1/namespaces/kube-public/configmaps/cluster-info"},
	}}
	if wish != nil {
		for _, condition := range wish.Conditions {
			if !slices.Contains(out.Conditions, condition) {
				out.Conditions = append(out.Conditions, condition)
			}
		}
	}
	return out
}
