package osc

import (
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func endpointProxySecrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{secret.Authority(secret.AuthorityCluster)}
}

// endpointProxy is the endpoint proxy of every node.
func endpointProxy(Input) ([]unit, []file, error) {
	return nil, nil, nil
}
