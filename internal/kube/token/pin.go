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
		// What stands there may be the token: it is not repeated.
		if _, err := Parse(text); err == nil {
			return Pin{}, fault.New(fault.BadFlag, "read the authority's pin: it is a token; give that as --token, and as --ca-pin what gardenadm token create --print-join-command prints")
		}
		return Pin{}, fault.New(fault.BadFlag, "read the authority's pin: it has %d characters, and is neither 43 of base64url nor sha256: and 64 of hexadecimal", len(text))
	}
	return Pin(raw), nil
}

// MaxJoinCommand is the length of a line that terminals and chats leave in one piece.
const MaxJoinCommand = 200

// JoinCommand is the line that a person pastes on a machine. It names the pool that the token is bound to, and as many of the addresses
// as there is room for in MaxJoinCommand, at least one: a joining machine learns the others from the cluster.
func JoinCommand(addresses []netip.Addr, t Token, pin Pin) string {
	var words []string
	for _, address := range addresses {
		words = append(words, address.String())
	}
	rest := fmt.Sprintf(" --token %s --ca-pin %s", t.Text(), pin)
	if t.Binding.Pool != "" {
		rest += " -w " + t.Binding.Pool
	}
	for {
		line := "gardenadm join " + strings.Join(words, ",") + rest
		if len(line) <= MaxJoinCommand || len(words) <= 1 {
			return line
		}
		words = words[:len(words)-1]
	}
}
