package osc

import (
	"fmt"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// gardenletUnit needs nothing of the host but the program, its kubeconfig and files of root: no capability, and no order but that of the
// network. It is started before there is an API server, and waits for it.
const gardenletUnit = `[Unit]
Description=gardenlet, which looks after the cluster
After=network.target %[3]s
StartLimitIntervalSec=0

[Service]
ExecStart=%[1]s run gardenlet --kubeconfig=%[2]s --networks=%[4]s
Environment=GOMEMLIMIT=64MiB
Restart=always
RestartSec=2
NoNewPrivileges=yes
CapabilityBoundingSet=
MemoryAccounting=true

[Install]
WantedBy=multi-user.target
`

func gardenletSecrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{secret.Authority(secret.AuthorityCluster), secret.Authority(secret.AuthorityClient), secret.Gardenlet()}
}

// gardenlet runs on every node of the control plane; the API elects one. It renews its own certificate as all others: a kubeconfig that
// has changed restarts it.
func gardenlet(in Input) ([]unit, []file, error) {
	if !in.Pool.ControlPlane {
		return nil, nil, nil
	}
	config := kubeconfig.Render(kubeconfig.Config{
		Server:        in.Cluster.NodeServer(),
		TLSServerName: cluster.TLSServerName,
		CA:            in.Secrets.Get(secret.AuthorityCluster, "", secret.DataCACert),
		Cert:          in.Secrets.Get(secret.Gardenlet().Name, "", secret.DataCert),
		Key:           in.Secrets.Get(secret.Gardenlet().Name, "", secret.DataKey),
	})
	return []unit{{
		Name:      layout.UnitGardenlet,
		Enable:    new(true),
		Content:   new(fmt.Sprintf(gardenletUnit, layout.FileGardenadm, layout.FileGardenletConf, layout.UnitKubelet, cluster.Join(in.Cluster.Nodes))),
		FilePaths: []string{layout.FileGardenletConf},
	}}, []file{inline(layout.FileGardenletConf, 0o600, config)}, nil
}
