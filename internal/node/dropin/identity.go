package dropin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// Identity is what a node knows about itself at boot, before it has an API to ask: the content of layout.FileNode.
type Identity struct {
	Name         string       `json:"name"`
	Addresses    []netip.Addr `json:"addresses"`
	Zone         string       `json:"zone,omitempty"`
	Pool         string       `json:"pool,omitempty"`
	Architecture string       `json:"architecture,omitempty"`
}

// EncodeNode renders the content of layout.FileNode; equal nodes give equal bytes.
func EncodeNode(node cluster.Node) ([]byte, error) {
	out, err := json.MarshalIndent(Identity(node), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode identity of node %s: %w", node.Name, err)
	}
	return append(out, '\n'), nil
}

// DecodeNode reads what EncodeNode wrote; without a name, an address or a pool it is an error.
func DecodeNode(raw []byte) (cluster.Node, error) {
	var identity Identity
	err := json.Unmarshal(raw, &identity)
	node := cluster.Node(identity)
	switch {
	case err != nil:
	case len(validation.IsDNS1123Subdomain(node.Name)) > 0:
		err = fmt.Errorf("%q is not the name of a node", node.Name)
	case len(node.Addresses) == 0 || slices.ContainsFunc(node.Addresses, func(a netip.Addr) bool { return !a.IsValid() }):
		err = errors.New("there is no address")
	case node.Pool == "":
		err = errors.New("there is no pool")
	}
	if err != nil {
		return cluster.Node{}, fmt.Errorf("read identity of the node (%s): %w", layout.FileNode, err)
	}
	return node, nil
}
