// Package hoststep turns what init decides about this machine into calls of the host's parts, one function per step.
// Used by the sequences that work on a host.
package hoststep

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
)

// Machine is what init found out about the host that it runs on.
type Machine struct {
	Facts   host.Facts
	Address preflight.NodeAddress
	// Warnings are what the checks found and let pass.
	Warnings []*fault.Error
}

// Network is the network of the machine's address.
func (m Machine) Network() netip.Prefix { return m.Address.Prefix.Masked() }

// Node is the machine as renderers see it, as a node of the control plane. zone is what was asked for; empty takes the pool's only one.
func (m Machine) Node(c *cluster.Cluster, zone string) (cluster.Node, error) {
	pool := c.ControlPlane
	zone, err := pool.CheckZone(zone)
	if err != nil {
		return cluster.Node{}, err
	}
	if ip := m.Address.IP(); !slices.ContainsFunc(c.Nodes, func(network netip.Prefix) bool { return network.Contains(ip) }) {
		return cluster.Node{}, fault.New(fault.NodeAddress, "this machine's address %s is not in the Shoot's network of nodes, %s", ip, cluster.Join(c.Nodes)).
			Mend("name an address of that network with --node-ip, or mend spec.networking.nodes")
	}
	return cluster.Node{
		Name:         strings.ToLower(m.Facts.HostName),
		Addresses:    []netip.Addr{m.Address.IP()},
		Zone:         zone,
		Pool:         pool.Name,
		Architecture: m.Facts.Architecture,
	}, nil
}

// initSyncTest is how long init measures the disk: enough to warn of a slow one without making a fast one wait.
const initSyncTest = 200 * time.Millisecond

// CheckInput is what the checks of the cluster's first machine are to know of it.
func CheckInput(c *cluster.Cluster, wanted netip.Addr, skip []string) preflight.Input {
	in := preflight.Input{NodeIP: wanted, Skip: skip, SyncTest: initSyncTest, NotBefore: built(), SwapAllowed: c.AllowsSwap(c.ControlPlane), Architecture: c.Architecture()}
	for _, one := range []struct {
		name     string
		prefixes []netip.Prefix
	}{{"pods", c.Pods}, {"services", c.Services}} {
		for _, prefix := range one.prefixes {
			in.Networks = append(in.Networks, preflight.Network{Name: one.name, Prefix: prefix})
		}
	}
	return in
}

// built is the time of the commit that this program was built from; zero when it is not known.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			commit, _ := time.Parse(time.RFC3339, setting.Value)
			return commit
		}
	}
	return time.Time{}
}

// Check finds the facts, makes all checks, and chooses the machine's address in the cluster. It changes nothing.
func Check(ctx context.Context, h *host.Host, in preflight.Input) (Machine, error) {
	report, err := preflight.Run(ctx, h, in)
	if err != nil {
		return Machine{}, fmt.Errorf("check this machine: %w", err)
	}
	if err := report.Err(); err != nil {
		return Machine{}, err
	}
	if !report.Address.IP().IsValid() {
		return Machine{}, fault.New(fault.NodeAddress, "the check of the node's address was skipped, and no address can be chosen")
	}
	return Machine{Facts: report.Facts, Address: report.Address, Warnings: report.Warnings()}, nil
}

// KeptUID returns the cluster's identity that is kept on disk, empty for none. One that the manifests bring (wanted, empty for none) must
// be the same: a garden compares the two (contract gardenlet-connect §4).
func KeptUID(ctx context.Context, h *host.Host, wanted string) (string, error) {
	raw, err := h.Files.Read(ctx, layout.FileShootUID)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read cluster identity: %w", err)
	}
	kept := strings.TrimSpace(string(raw))
	if wanted != "" && kept != wanted {
		return "", fault.New(fault.OtherIdentity, "compare identities: the Shoot's status.uid is %q, and %s of this machine has %q", wanted, layout.FileShootUID, kept)
	}
	return kept, nil
}

// ClusterUID is KeptUID and, the first time, keeps the wanted identity, or a new one.
func ClusterUID(ctx context.Context, h *host.Host, wanted string) (string, error) {
	kept, err := KeptUID(ctx, h, wanted)
	if err != nil || kept != "" {
		return kept, err
	}
	if err := h.Files.MakeDir(ctx, layout.DirState, host.Owner{}, 0o700); err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	uid := cmp.Or(wanted, NewUUID())
	if err := h.Files.Write(ctx, layout.FileShootUID, strings.NewReader(uid+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep cluster identity: %w", err)
	}
	return uid, nil
}

// NewUUID returns a random UUID (version 4).
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // never fails since Go 1.24
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// InstallProgram puts the running program where the units of the node expect it. The same content is left alone.
func InstallProgram(ctx context.Context, h *host.Host, self string) error {
	running, err := h.Files.Stat(ctx, self)
	if err != nil {
		return fmt.Errorf("find the running program: %w", err)
	}
	installed, err := h.Files.Stat(ctx, layout.FileGardenadm)
	if err == nil && installed.SHA256 == running.SHA256 && installed.Mode.Perm() == 0o755 {
		return nil
	}
	raw, err := h.Files.Read(ctx, self)
	if err != nil {
		return fmt.Errorf("read the running program: %w", err)
	}
	if err := h.Files.Write(ctx, layout.FileGardenadm, bytes.NewReader(raw), 0o755); err != nil {
		return fmt.Errorf("install gardenadm: %w", err)
	}
	return nil
}
