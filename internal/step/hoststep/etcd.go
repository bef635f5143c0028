package hoststep

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// MakeEtcdData makes the first etcd data directory offline, by the program of etcd's own version, so that
// "initial-cluster-state: new" stands nowhere: with it, a node that lost its disk would come up as an empty cluster.
// A directory that holds data is left alone.
func MakeEtcdData(ctx context.Context, h *host.Host, c *cluster.Cluster, node cluster.Node) error {
	if err := h.Files.MakeDir(ctx, layout.DirEtcd, host.Owner{}, 0o700); err != nil {
		return fmt.Errorf("make etcd directory: %w", err)
	}
	owner := host.Owner{UID: layout.UID, GID: layout.UID}
	if err := h.Files.MakeDir(ctx, layout.DirEtcd+"/data", owner, 0o700); err != nil {
		return fmt.Errorf("make etcd directory: %w", err)
	}
	peer := "https://" + net.JoinHostPort(node.IP().String(), strconv.Itoa(layout.PortEtcdPeer))
	_, err := h.Runner.Run(ctx, host.Command{Path: layout.FileEtcdData, Args: []string{
		"create",
		"--data-dir=" + layout.DirEtcdData,
		"--name=" + node.Name,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + node.Name + "=" + peer,
		"--initial-cluster-token=" + c.EtcdToken(),
		fmt.Sprintf("--owner=%d:%d", owner.UID, owner.GID),
	}})
	if err != nil {
		return fmt.Errorf("create etcd data: %w", err)
	}
	return nil
}
