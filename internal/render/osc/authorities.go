package osc

import (
	"path"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func authoritySecrets(*cluster.Cluster, []cluster.Node) []secret.Spec { return secret.Authorities() }

// authorities lays the cluster's authorities with their keys on each node of the control plane, so that a node whose certificates ended
// while it was off makes new ones without an API (docs/decisions/0005-authorities-on-nodes.md).
func authorities(in Input) ([]unit, []file, error) {
	if !in.Pool.ControlPlane {
		return nil, nil, nil
	}
	var files []file
	for _, one := range secret.Authorities() {
		files = append(files,
			inline(path.Join(layout.DirAuthorities, one.Name+".crt"), 0o600, in.Secrets.Get(one.Name, "", secret.DataCACert)),
			inline(path.Join(layout.DirAuthorities, one.Name+".key"), 0o600, in.Secrets.Get(one.Name, "", secret.DataCAKey)),
		)
	}
	return nil, files, nil
}
