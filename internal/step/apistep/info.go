package apistep

import (
	"context"
	"net"
	"strconv"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// PublishInfo publishes whom a joining machine is to trust, and where: the cluster's authority and the address of a control plane node.
func PublishInfo(ctx context.Context, api *kube.Client, set secret.Set, node cluster.Node) error {
	config := kubeconfig.Render(kubeconfig.Config{
		Server:        "https://" + net.JoinHostPort(node.IP().String(), strconv.Itoa(cluster.APIServerPort)),
		TLSServerName: cluster.TLSServerName,
		CA:            set.Get(secret.AuthorityCluster, "", secret.DataCACert),
	})
	return api.ApplyObjects(ctx, token.InfoObjects(config)...)
}
