// Package secret turns wanted certificates and keys, declared as data, into an issued set.
// Used by render (which declares and reads them) and by the steps that issue and keep them.
package secret

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Kind says what a Spec is issued as, and with it the data keys of the Secret.
type Kind string

const (
	// CA is a self-signed certificate authority: ca.crt, ca.key.
	CA Kind = "ca"
	// Server and Client are certificates for one direction, Peer is one for both: tls.crt, tls.key.
	Server Kind = "server"
	Client Kind = "client"
	Peer   Kind = "peer"
	// SigningKey is an RSA key that signs service account tokens: id_rsa (PKCS #1), id_rsa.pub (PKIX).
	SigningKey Kind = "signing-key"
	// SymmetricKey is 32 random bytes, base64: key.
	SymmetricKey Kind = "symmetric-key"
)

// Data keys of issued Secrets, as in Gardener's secrets manager (contract control-plane §2).
const (
	DataCACert     = "ca.crt"
	DataCAKey      = "ca.key"
	DataCert       = "tls.crt"
	DataKey        = "tls.key"
	DataSigningKey = "id_rsa"
	DataSigningPub = "id_rsa.pub"
	DataSymmetric  = "key"
)

// Spec is one wanted secret. Two equal Specs are the same secret.
type Spec struct {
	// Name as in Gardener's secrets manager, for example ca-etcd or kube-apiserver.
	Name string
	// Node is set when every machine has its own, "" for one per cluster.
	Node string
	Kind Kind
	// Signer names the CA of a Server, Client or Peer certificate.
	Signer       string
	CommonName   string
	Organization []string
	DNSNames     []string
	IPs          []netip.Addr
	// ValidDays is the certificate's life; 0 stands for the kind's default (ten years for a CA, else one year).
	ValidDays int
}

// Key identifies the secret in a Set and in a Store.
func (s Spec) Key() string { return Key(s.Name, s.Node) }

// Irreplaceable says that a new one would not do in its place: others trust it, or need it to read what is written.
func (s Spec) Irreplaceable() bool {
	return s.Kind == CA || s.Kind == SigningKey || s.Kind == SymmetricKey
}

// Key joins a secret's name and node ("" for one per cluster).
func Key(name, node string) string {
	if node == "" {
		return name
	}
	return name + "--" + node
}

// Secret is an issued Spec.
type Secret struct {
	Spec Spec
	Data map[string][]byte
}

// Set holds issued secrets by Key.
type Set map[string]Secret

// Get returns the data of a secret's key, or nil when there is none: a renderer that reads
// what it did not declare makes an empty file, and its golden test shows it.
func (s Set) Get(name, node, dataKey string) []byte { return s[Key(name, node)].Data[dataKey] }

// Select returns the secrets of the given specs that are in the set.
func (s Set) Select(specs []Spec) Set {
	out := Set{}
	for _, spec := range specs {
		if found, ok := s[spec.Key()]; ok {
			out[spec.Key()] = found
		}
	}
	return out
}

// Keys returns the keys in order.
func (s Set) Keys() []string { return slices.Sorted(maps.Keys(s)) }

// Store keeps issued secrets. Save of a key that exists replaces it whole; nothing is ever half-written.
type Store interface {
	Load(ctx context.Context) (Set, error)
	Save(ctx context.Context, secret Secret) error
}

// Merge joins lists of specs: equal ones become one, two different ones with the same key are an error.
// The result is sorted by key.
func Merge(lists ...[]Spec) ([]Spec, error) {
	byKey := map[string]Spec{}
	for _, spec := range slices.Concat(lists...) {
		if other, ok := byKey[spec.Key()]; ok && other.Checksum() != spec.Checksum() {
			return nil, fmt.Errorf("merge wanted secrets: %s is declared twice and differently", spec.Key())
		}
		byKey[spec.Key()] = spec
	}
	out := make([]Spec, 0, len(byKey))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		out = append(out, byKey[key])
	}
	return out, nil
}
