package osc

import (
	"fmt"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// networkUnit gives loopback the address at which pods reach the endpoint proxy, and lays the route for the service networks over the
// link of the node's address, so that host processes reach Services without a default route. It does not wait for network-online.target, which may take minutes or never come when
// the site has no DHCP; it fails and is tried again until the address is there. kubelet waits for one try at most.
const networkUnit = `[Unit]
Description=address of the API server for pods, and route to the service networks of the cluster
After=network.target
Before=%[2]s
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%[1]s run node-network --services %[3]s
TimeoutStartSec=45
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
`

func network(in Input) ([]unit, []file, error) {
	return []unit{{
		Name:    layout.UnitNetwork,
		Enable:  new(true),
		Content: new(fmt.Sprintf(networkUnit, layout.FileGardenadm, layout.UnitKubelet, cluster.Join(in.Cluster.Services))),
	}}, nil, nil
}
