package osc

import (
	"net/netip"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// servingName is the secret with which a control plane node answers other nodes, besides its API server.
const servingName = "gardenadm-serving"

func servingSecrets(_ *cluster.Cluster, controlPlane []cluster.Node) []secret.Spec {
	out := []secret.Spec{secret.Authority(secret.AuthorityCluster)}
	for _, node := range controlPlane {
		out = append(out, secret.Spec{
			Name: servingName, Node: node.Name, Kind: secret.Server, Signer: secret.AuthorityCluster, CommonName: "gardenadm:serving",
			DNSNames: []string{node.Name, "localhost"}, IPs: append([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, node.Addresses...),
		})
	}
	return out
}

// serving lays each control plane node's own certificate, which the mirror and the gardenlet serve with.
func serving(in Input) ([]unit, []file, error) {
	if !in.Pool.ControlPlane {
		return nil, nil, nil
	}
	var files []file
	for _, node := range in.Nodes {
		files = append(files,
			onNode(node.Name, inline(layout.FileServingCert, 0o600, in.Secrets.Get(servingName, node.Name, secret.DataCert))),
			onNode(node.Name, inline(layout.FileServingKey, 0o600, in.Secrets.Get(servingName, node.Name, secret.DataKey))),
		)
	}
	return nil, files, nil
}
