package proxy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
)

// role is how a target came to be known.
type role int

// Roles, the preferred ones first.
const (
	local role = iota
	listed
	leaving
	retired
)

// weight orders servers at random, but for each node always alike. When a server comes or goes, only the nodes that
// preferred it change their mind.
func weight(node, server string) uint64 {
	sum := sha256.Sum256([]byte(node + "\x00" + server))
	return binary.BigEndian.Uint64(sum[:8])
}

// byPreference orders targets as if all were ready: the local one, then by weight, addresses of one server as in the list.
func byPreference(a, b *target) int {
	return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.weight, b.weight), cmp.Compare(a.nth, b.nth), a.address.Compare(b.address))
}

// rank puts what is likelier to answer first. Nothing is left out: when no server is known to be ready, all are tried.
func rank(t *target) int {
	switch {
	case t.role == retired && t.health != Ready:
		return 6
	case t.role == retired:
		return 4
	case t.health == Ready && t.role != leaving:
		return 0
	case t.health == Unknown:
		return 1
	case t.health == Ready || t.health == Draining:
		return 2
	case t.health == Unready:
		return 3
	}
	return 5
}

// candidates are the targets in the order in which a new connection tries them.
func candidates(targets map[netip.AddrPort]*target) []*target {
	return slices.SortedFunc(maps.Values(targets), func(a, b *target) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), byPreference(a, b)) })
}

// first says that t would be used if all were ready.
func (t *target) first(targets map[netip.AddrPort]*target) bool {
	for _, other := range targets {
		if byPreference(other, t) < 0 {
			return false
		}
	}
	return true
}
