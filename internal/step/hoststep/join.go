package hoststep

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/offer"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
)

// Past is what an earlier join, or init, left on this machine; the zero value is a machine that is no node.
type Past struct {
	// Node is who the machine is; nil when it is nobody.
	Node *cluster.Node
	// Authority is that of its cluster, PEM.
	Authority []byte
	// Kept: the node agent works, and nobody else changes the machine.
	Kept bool
}

// FindPast looks at the machine.
func FindPast(ctx context.Context, h *host.Host) (Past, error) {
	var out Past
	raw, err := readIfThere(ctx, h, layout.FileNode)
	if err != nil {
		return out, err
	}
	if raw != nil {
		node, err := dropin.DecodeNode(raw)
		if err != nil {
			return out, fault.New(fault.NodeOfAnother, "%w", err)
		}
		out.Node = &node
	}
	if out.Authority, err = readIfThere(ctx, h, layout.FileClusterCA); err != nil {
		return out, err
	}
	state, err := h.Units.State(ctx, layout.UnitNodeAgent)
	if err != nil {
		return out, fmt.Errorf("look for the node agent: %w", err)
	}
	out.Kept = out.Node != nil && state.Active == "active"
	return out, nil
}

// readIfThere returns nil for a file that is not there.
func readIfThere(ctx context.Context, h *host.Host, path string) ([]byte, error) {
	raw, err := h.Files.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return raw, nil
}

// Of refuses a machine that is a node of a cluster with another authority.
func (p Past) Of(authority []byte) error {
	if p.Authority == nil || sharesCertificate(p.Authority, authority) {
		return nil
	}
	return fault.New(fault.NodeOfAnother, "join the cluster: this machine is a node of another one, whose authority is in %s", layout.FileClusterCA)
}

// Same refuses a machine that is another node than the wanted one.
func (p Past) Same(wanted cluster.Node) error {
	if p.Node == nil {
		return nil
	}
	for _, one := range []struct{ what, have, want string }{
		{"node", p.Node.Name, wanted.Name},
		{"a node of pool", p.Node.Pool, wanted.Pool},
		{"a node of zone", p.Node.Zone, wanted.Zone},
		{"a node with address", p.Node.IP().String(), wanted.IP().String()},
	} {
		if one.have != one.want {
			return fault.New(fault.NodeOfAnother, "join as %s %q: this machine is %s %q already", one.what, one.want, one.what, one.have)
		}
	}
	return nil
}

// sharesCertificate: while authorities are replaced there are two of them.
func sharesCertificate(a, b []byte) bool {
	in := blocks(b)
	return slices.ContainsFunc(blocks(a), func(one []byte) bool {
		return slices.ContainsFunc(in, func(other []byte) bool { return bytes.Equal(one, other) })
	})
}

func blocks(bundle []byte) [][]byte {
	var out [][]byte
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		out = append(out, block.Bytes)
	}
	return out
}

// JoinInput is what the checks of a machine that joins a pool are to know. peers are nil for one that is a node already: its own
// programs have the ports that would be tried.
func JoinInput(o offer.Offer, pool offer.Pool, peers *preflight.Peers) preflight.Input {
	in := preflight.Input{Role: preflight.Worker, Peers: peers, SyncTest: initSyncTest, NotBefore: built(), SwapAllowed: pool.SwapAllowed, Architecture: pool.Architecture}
	for name, prefixes := range map[string][]netip.Prefix{"pods": o.Pods, "services": o.Services} {
		for _, prefix := range prefixes {
			in.Networks = append(in.Networks, preflight.Network{Name: name, Prefix: prefix})
		}
	}
	slices.SortFunc(in.Networks, func(a, b preflight.Network) int { return strings.Compare(a.Name, b.Name) })
	return in
}

// Worker is the machine as a node of the pool. zone is what was asked for; empty takes the pool's only one.
func (m Machine) Worker(o offer.Offer, pool offer.Pool, zone string) (cluster.Node, error) {
	zone, err := pool.CheckZone(zone)
	if err != nil {
		return cluster.Node{}, err
	}
	if ip := m.Address.IP(); !slices.ContainsFunc(o.Nodes, func(network netip.Prefix) bool { return network.Contains(ip) }) {
		return cluster.Node{}, fault.New(fault.NodeAddress, "this machine's address %s is not in the cluster's network of nodes, %s", ip, cluster.Join(o.Nodes)).
			Mend("name an address of that network with --node-ip")
	}
	return cluster.Node{
		Name: strings.ToLower(m.Facts.HostName), Addresses: []netip.Addr{m.Address.IP()}, Zone: zone, Pool: pool.Name, Architecture: m.Facts.Architecture,
	}, nil
}

// KeptIdentity returns the client certificate and its key from the file, both PEM, when it is for the user and not over. It is nil when
// there is none.
func KeptIdentity(ctx context.Context, h *host.Host, path, user string) (pair []byte, err error) {
	raw, err := readIfThere(ctx, h, path)
	if err != nil || raw == nil {
		return nil, err
	}
	loaded, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return nil, nil // half of one is none
	}
	leaf, err := x509.ParseCertificate(loaded.Certificate[0])
	if err != nil || leaf.Subject.CommonName != user || time.Now().After(leaf.NotAfter) {
		return nil, nil
	}
	return raw, nil
}

// IdentifyNode lays who this node is and whom it trusts. It comes first: from then on the machine is known to be gardenadm's.
func IdentifyNode(ctx context.Context, h *host.Host, node cluster.Node, authority []byte) error {
	raw, err := dropin.EncodeNode(node)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		path    string
		content []byte
	}{{layout.FileNode, raw}, {layout.FileClusterCA, authority}} {
		if have, err := readIfThere(ctx, h, file.path); err == nil && bytes.Equal(have, file.content) {
			continue
		}
		if err := h.Files.Write(ctx, file.path, bytes.NewReader(file.content), 0o644); err != nil {
			return fmt.Errorf("say who this node is: %w", err)
		}
	}
	return nil
}

// JoinImages are the images that the kubelet finds when it starts the first pods, as the node's configuration lists them.
func JoinImages(want agent.Want) ([]image.Wanted, error) {
	at := slices.IndexFunc(want.Files, func(file agent.File) bool { return file.Path == layout.FileImages })
	if at < 0 {
		return nil, fmt.Errorf("find the images of the node: its configuration has no %s", layout.FileImages)
	}
	all, err := image.DecodeWanted(want.Files[at].Data)
	if err != nil {
		return nil, err
	}
	return image.AtJoin(all), nil
}
