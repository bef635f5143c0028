// Package signature turns a key pair and a bundle's index into a signature, and says whether one holds.
// Used by bundle when it reads, and by the commands that make a bundle.
//
// A signature is the base64 text that cosign's sign-blob writes: over the SHA-256 of the bytes for ECDSA on P-256 and RSA (PKCS #1 v1.5),
// over the bytes for Ed25519. So cosign verify-blob and openssl can check it as well.
package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"os"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Signer signs with a private key.
type Signer struct{ signer signature.Signer }

// Verifier verifies with a public key.
type Verifier struct{ verifier signature.Verifier }

// LoadSigner reads a private key in PEM: PKCS #8, or encrypted by cosign with this password, which may be empty.
func LoadSigner(path, password string) (*Signer, error) {
	signer, err := loadSigner(path, password)
	if err != nil {
		return nil, fault.New(fault.BadFlag, "read private key %s: %w", path, err).
			Mend("name a PEM file with a private key, as cosign generate-key-pair or openssl genpkey -algorithm ed25519 makes it")
	}
	return &Signer{signer}, nil
}

func loadSigner(path, password string) (signature.Signer, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, cryptoutils.StaticPasswordFunc([]byte(password)))
	if err != nil {
		return nil, err
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	public, err := signer.PublicKey()
	if err != nil {
		return nil, err
	}
	return signer, check(public)
}

// LoadVerifier reads a public key in PEM (SubjectPublicKeyInfo).
func LoadVerifier(path string) (*Verifier, error) {
	verifier, err := loadVerifier(path)
	if err != nil {
		return nil, fault.New(fault.BadFlag, "read public key %s: %w", path, err).
			Mend("name the PEM file with the public key of whoever signed the bundle")
	}
	return &Verifier{verifier}, nil
}

func loadVerifier(path string) (signature.Verifier, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(raw)
	if err != nil {
		return nil, err
	}
	if err := check(key); err != nil {
		return nil, err
	}
	return signature.LoadVerifier(key, crypto.SHA256)
}

// check lets only keys pass for which all tools agree on hash and padding.
func check(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return nil
		}
	}
	return fmt.Errorf("its kind is not supported: use ECDSA on P-256, Ed25519, or RSA of 2048 bits or more")
}

// Sign returns the signature of data.
func (s *Signer) Sign(data []byte) ([]byte, error) {
	raw, err := s.signer.SignMessage(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return []byte(base64.StdEncoding.EncodeToString(raw)), nil
}

// Verify is nil when the text is a signature of data by the key.
func (v *Verifier) Verify(data, text []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return fault.New(fault.BadSignature, "the signature is not base64")
	}
	if err := v.verifier.VerifySignature(bytes.NewReader(raw), bytes.NewReader(data)); err != nil {
		return fault.New(fault.BadSignature, "the signature was not made with this key, or what it signs was changed since")
	}
	return nil
}
