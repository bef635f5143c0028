package hoststep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// NodeName is the name of the node that this machine is, or would be: its lower-cased host name where no file tells it.
func NodeName(ctx context.Context, h *host.Host) (string, error) {
	raw, err := h.Files.Read(ctx, layout.FileNode)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("find the node's name: %w", err)
	}
	var node struct{ Name string }
	if json.Unmarshal(raw, &node) == nil && node.Name != "" {
		return node.Name, nil
	}
	facts, err := h.Prober.Probe(ctx)
	if err != nil {
		return "", fmt.Errorf("find the node's name: %w", err)
	}
	return strings.ToLower(facts.HostName), nil
}

// Credentials are kubeconfigs with which a machine speaks to its cluster.
type Credentials struct {
	// Admin is the administrator's, which a control plane node has.
	Admin []byte
	// Node are the kubelet's and the node agent's, those of them that are there, in this order.
	Node [][]byte
}

// FindCredentials reads those that this machine has: none on one that is no node, or from which reset took them already. An administrator
// may have copied his kubeconfig to a worker: that makes it no control plane node.
func FindCredentials(ctx context.Context, h *host.Host) (Credentials, error) {
	var out Credentials
	files := []string{layout.FileAdminKubeconfig, layout.FileKubeletConf, layout.FileAgentKubeconfig}
	if _, err := h.Files.Stat(ctx, layout.FileShootUID); errors.Is(err, fs.ErrNotExist) {
		files = files[1:]
	}
	for _, file := range files {
		raw, err := h.Files.Read(ctx, file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return Credentials{}, fmt.Errorf("read kubeconfig: %w", err)
		case file == layout.FileAdminKubeconfig:
			out.Admin = raw
		default:
			out.Node = append(out.Node, raw)
		}
	}
	return out, nil
}

// KeepLeft remembers that this machine is done with its cluster, and what could not be done there, a line each.
func KeepLeft(ctx context.Context, h *host.Host, undone []string) error {
	raw, err := json.Marshal(undone)
	if err == nil {
		err = h.Files.Write(ctx, layout.FileLeft, bytes.NewReader(raw), 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember how the cluster was left: %w", err)
	}
	return nil
}

// HasLeft says that a reset before was done with the cluster, and what it could not do there. A kubelet that runs again, after a
// reboot, has come back to the cluster.
func HasLeft(ctx context.Context, h *host.Host) (undone []string, left bool, err error) {
	raw, err := h.Files.Read(ctx, layout.FileLeft)
	if errors.Is(err, fs.ErrNotExist) || err == nil && KubeletRuns(ctx, h) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look how the cluster was left: %w", err)
	}
	return undone, json.Unmarshal(raw, &undone) == nil, nil
}

// KubeletRuns says that there is somebody to end pods.
func KubeletRuns(ctx context.Context, h *host.Host) bool {
	state, err := h.Units.State(ctx, layout.UnitKubelet)
	return err == nil && state.Active == "active"
}

// StopNode stops those that would put back what is taken away: in the cluster its Node, on the machine files and units.
func StopNode(ctx context.Context, h *host.Host) error {
	for _, unit := range []string{layout.UnitNodeAgent, layout.UnitKubelet} {
		if err := h.Units.Stop(ctx, unit); err != nil {
			return err
		}
	}
	return nil
}
