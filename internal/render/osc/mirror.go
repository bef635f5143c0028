package osc

import (
	"fmt"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// mirrorUnit needs of the host nothing but containerd's socket and its own certificate, which are root's. It serves before there is a
// containerd, and says meanwhile that it cannot; it is started again until the node has its address.
const mirrorUnit = `[Unit]
Description=image mirror, which serves the cluster's images to its nodes
After=network.target %[3]s %[4]s
StartLimitIntervalSec=0

[Service]
ExecStart=%[1]s run mirror --networks=%[2]s
Environment=GOMEMLIMIT=64MiB
Restart=always
RestartSec=2
NoNewPrivileges=yes
CapabilityBoundingSet=
MemoryAccounting=true

[Install]
WantedBy=multi-user.target
`

// mirror serves the images of a control plane node to others. A renewed certificate is seen without a restart.
func mirror(in Input) ([]unit, []file, error) {
	if !in.Pool.ControlPlane {
		return nil, nil, nil
	}
	return []unit{{
		Name:   layout.UnitMirror,
		Enable: new(true),
		Content: new(fmt.Sprintf(mirrorUnit, layout.FileGardenadm, cluster.Join(in.Cluster.Nodes),
			layout.UnitNetwork, layout.UnitContainerd)),
	}}, nil, nil
}
