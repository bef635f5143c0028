package token

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Pin is the SHA-256 of an authority's public key (its SubjectPublicKeyInfo, as in RFC 7469).
type Pin [sha256.Size]byte

// PinOf returns the pin of each certificate of a PEM bundle, in its order.
func PinOf(bundle []byte) ([]Pin, error) {
	var out []Pin
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read authority: %w", err)
		}
		out = append(out, sha256.Sum256(certificate.RawSubjectPublicKeyInfo))
	}
	if len(out) == 0 {
		return nil, errors.New("read authority: no certificate in it")
	}
	return out, nil
}

// String is the short form, 43 characters that need no quotes in a shell.
func (p Pin) String() string { return base64.RawURLEncoding.EncodeToString(p[:]) }

// ParsePin reads the short form, and kubeadm's sha256:HEX.
func ParsePin(text string) (Pin, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if digits, found := strings.CutPrefix(text, "sha256:"); found {
		raw, err = hex.DecodeString(digits)
	}
	if err != nil || len(raw) != sha256.Size {
		return Pin{}, fault.New(fault.BadFlag, "read the authority's pin %q: it is neither 43 characters of base64url nor sha256: and 64 of hexadecimal", text)
	}
	return Pin(raw), nil
}

// JoinCommand is the line that a person pastes on a machine; with five IPv4 addresses it has less than 200 characters.
func JoinCommand(addresses []netip.Addr, t Token, pin Pin) string {
	list := slices.Clone(addresses)
	words := make([]string, 0, len(list))
	for _, address := range list {
		words = append(words, address.String())
	}
	return fmt.Sprintf("gardenadm join %s --token %s --ca-pin %s", strings.Join(words, ","), t.Text(), pin)
}
