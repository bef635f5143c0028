package secret

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Issuer issues what is wanted and not there yet. Its zero value needs a Store only.
type Issuer struct {
	Store Store
	// Now is the clock; nil means the real one.
	Now func() time.Time
	// Since makes Ensure issue certificates anew that were issued before it, whatever is left of their life. Zero is for none.
	Since time.Time
}

// renewBefore is the share of a certificate's life after which Ensure issues it anew (contract control-plane §2: 80 %).
const renewBefore = 0.8

// Ensure returns a set with every wanted secret. What the store holds is kept as long as it still is what is wanted:
// the same Spec, signed by the authority that is in the set, not yet through 80 % of its life. The rest is issued and saved at once,
// so that a killed run leaves only whole secrets and the next one goes on with the same authorities.
// An authority that the store holds is never replaced here: a changed one would cut off every node.
func (i Issuer) Ensure(ctx context.Context, specs []Spec) (Set, error) {
	have, err := i.Store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load secrets: %w", err)
	}
	set := Set{}
	for _, spec := range authoritiesFirst(specs) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		found, ok := have[spec.Key()]
		if ok && i.usable(spec, found, set) {
			set[spec.Key()] = found
			continue
		}
		issued, err := i.issue(spec, set)
		if err != nil {
			return nil, fmt.Errorf("issue %s: %w", spec.Key(), err)
		}
		if err := i.Store.Save(ctx, issued); err != nil {
			return nil, fmt.Errorf("save %s: %w", spec.Key(), err)
		}
		set[spec.Key()] = issued
	}
	return set, nil
}

// authoritiesFirst orders specs so that every signer comes before what it signs.
func authoritiesFirst(specs []Spec) []Spec {
	rank := func(s Spec) int {
		if s.Kind == CA {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(specs), func(a, b Spec) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Key(), b.Key()))
	})
}

func (i Issuer) usable(spec Spec, found Secret, set Set) bool {
	switch spec.Kind {
	case CA:
		return len(found.Data[DataCACert]) > 0 && len(found.Data[DataCAKey]) > 0
	case SigningKey, SymmetricKey:
		return found.Spec.Kind == spec.Kind && len(found.Data) > 0
	}
	if found.Spec.Checksum() != spec.Checksum() {
		return false
	}
	cert, err := parseCertificate(found.Data[DataCert])
	if err != nil {
		return false
	}
	signer, err := parseCertificate(set.Get(spec.Signer, "", DataCACert))
	if err != nil || cert.CheckSignatureFrom(signer) != nil {
		return false
	}
	if cert.NotBefore.Add(BackDate).Before(i.Since.Truncate(time.Second)) { // a certificate knows seconds only
		return false
	}
	life := cert.NotAfter.Sub(cert.NotBefore)
	return i.now().Before(cert.NotBefore.Add(time.Duration(float64(life) * renewBefore)))
}

func (i Issuer) issue(spec Spec, set Set) (Secret, error) {
	out := Secret{Spec: spec, Data: map[string][]byte{}}
	switch spec.Kind {
	case CA:
		return out, i.issueAuthority(out)
	case Server, Client, Peer:
		signer, ok := set[spec.Signer]
		if !ok {
			return out, fmt.Errorf("signer %q is not among the wanted secrets", spec.Signer)
		}
		return out, i.issueCertificate(out, signer)
	case SigningKey:
		return out, issueSigningKey(out)
	case SymmetricKey:
		key := make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return out, err
		}
		out.Data[DataSymmetric] = []byte(base64.StdEncoding.EncodeToString(key))
		return out, nil
	}
	return out, errors.New("unknown kind " + string(spec.Kind))
}

func (i Issuer) now() time.Time {
	if i.Now != nil {
		return i.Now()
	}
	return time.Now()
}

// Checksum identifies the Spec's content: an unsigned 64-bit number in decimal (contract control-plane §2, label checksum-of-config).
func (s Spec) Checksum() string {
	raw, err := json.Marshal(s)
	if err != nil { // a Spec holds nothing that JSON refuses
		return ""
	}
	sum := sha256.Sum256(raw)
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:8]), 10)
}
