// Package endpoint turns the list of a cluster's API servers into JSON and back, and decides which of two lists counts.
// Used by the endpoint proxy of every node and by whoever publishes the list.
package endpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// Bounds of what is accepted; a cluster has at most five voters and a few standbys.
const (
	maxBytes     = 64 << 10
	maxServers   = 32
	maxAddresses = 4
)

// List is where a cluster's API servers are, at one moment of its life.
type List struct {
	// Generation counts the lives of the cluster's etcd data, from 1; a restore starts the next one.
	Generation int64 `json:"generation"`
	// Sequence counts the changes within a generation, from 1.
	Sequence int64 `json:"sequence"`
	// Servers are in order of their nodes' names; there is at least one.
	Servers []Server `json:"servers"`
}

// Server is the API server of one control plane node.
type Server struct {
	Node string `json:"node"`
	// Addresses of the server, the preferred one first; there is at least one.
	Addresses []netip.AddrPort `json:"addresses"`
	// Draining: the node is about to leave, nobody should connect anew.
	Draining bool `json:"draining,omitempty"`
}

// Compare is negative, zero or positive as l is older than other, as new, or newer: the generation counts first.
func (l List) Compare(other List) int {
	return cmp.Or(cmp.Compare(l.Generation, other.Generation), cmp.Compare(l.Sequence, other.Sequence))
}

// Decode reads a list. It refuses what Encode would not write: unknown, repeated or misspelt fields, a list without
// servers, and addresses that no server can have.
func Decode(raw []byte) (List, error) {
	var out List
	if err := decode(raw, &out); err != nil {
		return List{}, fmt.Errorf("read list of API servers: %w", err)
	}
	out.sort()
	if err := out.validate(nil).ToAggregate(); err != nil {
		return List{}, fmt.Errorf("read list of API servers: %w", err)
	}
	return out, nil
}

// Encode writes a list that Decode accepts, or fails. Equal lists are equal bytes.
func (l List) Encode() ([]byte, error) {
	l = l.clone()
	if err := l.validate(nil).ToAggregate(); err != nil {
		return nil, fmt.Errorf("write list of API servers: %w", err)
	}
	return encode(l)
}

// Validate says why Encode would fail.
func (l List) Validate() error { return l.validate(nil).ToAggregate() }

// clone returns a copy in the canonical order that shares nothing with l.
func (l List) clone() List {
	l.Servers = slices.Clone(l.Servers)
	for i := range l.Servers {
		l.Servers[i].Addresses = slices.Clone(l.Servers[i].Addresses)
	}
	l.sort()
	return l
}

func (l List) sort() {
	slices.SortStableFunc(l.Servers, func(a, b Server) int { return cmp.Compare(a.Node, b.Node) })
}

func (l List) validate(at *field.Path) field.ErrorList {
	var all field.ErrorList
	if l.Generation < 1 {
		all = append(all, field.Invalid(at.Child("generation"), l.Generation, "must be at least 1"))
	}
	if l.Sequence < 1 {
		all = append(all, field.Invalid(at.Child("sequence"), l.Sequence, "must be at least 1"))
	}
	servers := at.Child("servers")
	switch {
	case len(l.Servers) == 0:
		all = append(all, field.Required(servers, "a cluster has at least one API server"))
	case len(l.Servers) > maxServers:
		return append(all, field.TooMany(servers, len(l.Servers), maxServers))
	}
	nodes, addresses := map[string]bool{}, map[netip.AddrPort]bool{}
	for i, server := range l.Servers {
		all = append(all, server.validate(servers.Index(i))...)
		if nodes[server.Node] {
			all = append(all, field.Duplicate(servers.Index(i).Child("node"), server.Node))
		}
		nodes[server.Node] = true
		for j, address := range server.Addresses {
			if addresses[address] {
				all = append(all, field.Duplicate(servers.Index(i).Child("addresses").Index(j), address.String()))
			}
			addresses[address] = true
		}
	}
	return all
}

func (s Server) validate(at *field.Path) field.ErrorList {
	all := validateNode(at.Child("node"), s.Node)
	addresses := at.Child("addresses")
	switch {
	case len(s.Addresses) == 0:
		all = append(all, field.Required(addresses, "a server has at least one address"))
	case len(s.Addresses) > maxAddresses:
		return append(all, field.TooMany(addresses, len(s.Addresses), maxAddresses))
	}
	for i, address := range s.Addresses {
		all = append(all, validateAddress(addresses.Index(i), address)...)
	}
	return all
}

func validateNode(at *field.Path, name string) field.ErrorList {
	var all field.ErrorList
	for _, why := range validation.IsDNS1123Subdomain(name) {
		all = append(all, field.Invalid(at, name, why))
	}
	return all
}

func validateAddress(at *field.Path, address netip.AddrPort) field.ErrorList {
	ip := address.Addr()
	switch {
	case !ip.IsValid() || address.Port() == 0:
		return field.ErrorList{field.Invalid(at, address.String(), "must be an address and a port, such as 10.0.0.1:6443")}
	case ip.IsUnspecified(), ip.IsMulticast(), ip.Zone() != "", ip.Is4In6():
		return field.ErrorList{field.Invalid(at, address.String(), "must be an address that any node can reach")}
	}
	return nil
}

// decode is strict: names are case-sensitive, unknown and repeated ones are refused, and so is what follows the value.
func decode(raw []byte, into any) error {
	if len(raw) > maxBytes {
		return fmt.Errorf("%d bytes, at most %d are accepted", len(raw), maxBytes)
	}
	strict, err := kjson.UnmarshalStrict(raw, into)
	return errors.Join(append(strict, err)...)
}

// encode writes one line per field, for people who look into the file.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("write list of API servers: %w", err)
	}
	return out.Bytes(), nil
}
