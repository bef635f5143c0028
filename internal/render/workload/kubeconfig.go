package workload

import (
	"net"
	"path"
	"strconv"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	dirKubeconfig = "/var/run/secrets/gardener.cloud/shoot/generic-kubeconfig"
	dirClient     = "/var/run/secrets/gardener.cloud/shoot/client"
	// FileKubeconfig is where a program of the control plane finds its kubeconfig (contract control-plane §3).
	FileKubeconfig = dirKubeconfig + "/kubeconfig"
)

// Kubeconfig makes the kubeconfig of a program of the control plane with the given client certificate. It goes to the API server
// of its own node, never through a proxy: what brings the cluster up depends on as little as possible. The certificate has files of its
// own, so that the program reads a new one without a restart: after one it would wait for the lease of the old process to end.
func Kubeconfig(set secret.Set, client secret.Spec) []Files {
	return []Files{Certificate(set, client, dirClient), Secret(client.Name+"-kubeconfig", dirKubeconfig, map[string][]byte{
		path.Base(FileKubeconfig): kubeconfig.Render(kubeconfig.Config{
			Name:          client.Name,
			Server:        "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(cluster.APIServerPort)),
			TLSServerName: cluster.TLSServerName,
			CA:            set.Get(secret.AuthorityCluster, "", secret.DataCACert),
			CertFile:      path.Join(dirClient, secret.DataCert),
			KeyFile:       path.Join(dirClient, secret.DataKey),
		}),
	})}
}
