package osc

import (
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func adminSecrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{
		secret.Authority(secret.AuthorityCluster),
		secret.Authority(secret.AuthorityClient),
		secret.Admin(),
	}
}

// admin is what a person on a control plane node needs to look after the cluster.
func admin(in Input) ([]unit, []file, error) {
	if !in.Pool.ControlPlane {
		return nil, nil, nil
	}
	files, err := programs(in.Images, []program{
		{layout.FileKubectl, image.Hyperkube, "/usr/local/bin/kubectl"},
		{layout.FileEtcdData, image.Etcd, "/usr/local/bin/etcd-data"},
	})
	if err != nil {
		return nil, nil, err
	}
	config := kubeconfig.Render(kubeconfig.Config{
		Server:        in.Cluster.NodeServer(),
		TLSServerName: cluster.TLSServerName,
		CA:            in.Secrets.Get(secret.AuthorityCluster, "", secret.DataCACert),
		Cert:          in.Secrets.Get(secret.Admin().Name, "", secret.DataCert),
		Key:           in.Secrets.Get(secret.Admin().Name, "", secret.DataKey),
	})
	return nil, append(files, inline(layout.FileAdminKubeconfig, 0o600, config)), nil
}
