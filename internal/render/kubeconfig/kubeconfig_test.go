package kubeconfig_test

import (
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
)

func TestRender(t *testing.T) {
	tests := map[string]kubeconfig.Config{
		"data": {
			Server: "https://127.0.0.1:6443", TLSServerName: "kubernetes.default.svc",
			CA: []byte("authority"), Cert: []byte("certificate"), Key: []byte("key"),
		},
		"files": {
			Name: "kubelet", Server: "https://127.0.0.1:6443", CAFile: "/ca.crt",
			CertFile: "/pki/client.pem", KeyFile: "/pki/client.pem",
		},
		"token": {Server: "https://api.example.com", CA: []byte("authority"), TokenFile: "/token"},
	}
	for name, config := range tests {
		t.Run(name, func(t *testing.T) {
			got := kubeconfig.Render(config)
			golden.Equal(t, "testdata/"+name+".yaml", got)

			// Kubernetes' own reader must find in it what was put in.
			loaded, err := clientcmd.Load(got)
			if err != nil {
				t.Fatalf("load: %v", err)
			}
			current := loaded.Contexts[loaded.CurrentContext]
			if current == nil {
				t.Fatalf("no context %q", loaded.CurrentContext)
			}
			cluster, user := loaded.Clusters[current.Cluster], loaded.AuthInfos[current.AuthInfo]
			if cluster.Server != config.Server || cluster.TLSServerName != config.TLSServerName ||
				string(cluster.CertificateAuthorityData) != string(config.CA) || cluster.CertificateAuthority != config.CAFile {
				t.Errorf("cluster: %+v", cluster)
			}
			if string(user.ClientCertificateData) != string(config.Cert) || string(user.ClientKeyData) != string(config.Key) ||
				user.ClientCertificate != config.CertFile || user.ClientKey != config.KeyFile || user.TokenFile != config.TokenFile {
				t.Errorf("user: %+v", user)
			}
		})
	}
}
