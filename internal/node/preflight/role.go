package preflight

import (
	"slices"

	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Role is what the machine is to be.
type Role string

// Roles. The zero Role is ControlPlane.
const (
	ControlPlane Role = "control plane"
	Worker       Role = "worker"
)

func (r Role) is(other Role) bool { return r == other || r == "" && other == ControlPlane }

// sign is the file by which a machine is known that an earlier run of init or join has begun with. What join left on a worker is not
// for init to go on with.
func (r Role) sign() string {
	if r == Worker {
		return layout.FileNode
	}
	return layout.FileShootUID
}

// ofControlPlane says whether a port is one that workers do not have.
func ofControlPlane(port int) bool {
	return slices.Contains([]int{
		layout.PortEtcdClient, layout.PortEtcdPeer, layout.PortEtcdMetrics, layout.PortAPIServer, layout.PortMirror, layout.PortGardenlet,
		layout.PortControllerManager, layout.PortScheduler,
	}, port)
}

// dialled are the ports on which control plane nodes connect with the machine.
func (r Role) dialled() []int {
	if r == Worker {
		return []int{layout.PortKubelet}
	}
	return []int{layout.PortKubelet, layout.PortAPIServer, layout.PortMirror, layout.PortGardenlet, layout.PortEtcdClient, layout.PortEtcdPeer}
}
