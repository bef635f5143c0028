package secret

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Signer is an authority with its key.
type Signer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewSigner reads an authority's certificate and key, PEM both.
func NewSigner(certPEM, keyPEM []byte) (Signer, error) {
	certificate, err := parseCertificate(certPEM)
	if err != nil {
		return Signer{}, err
	}
	key, err := parseECKey(keyPEM)
	if err != nil {
		return Signer{}, err
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return Signer{}, fmt.Errorf("certificate and key of %s do not belong together", certificate.Subject.CommonName)
	}
	return Signer{certificate, key}, nil
}

// tail is the share of a certificate's life, at its end, in which Renew counts it as ended.
const tail = 100

// Renew returns a certificate like this one, for the same name and the same key, that is valid at this time. It is nil for a certificate
// that lasts, or that this authority has not signed. For half of a life it always returns the same bytes.
func (s Signer) Renew(certPEM []byte, now time.Time) ([]byte, error) {
	old, err := parseCertificate(certPEM)
	if err != nil || old.IsCA || old.CheckSignatureFrom(s.certificate) != nil {
		return nil, nil // not ours to judge
	}
	life := old.NotAfter.Sub(old.NotBefore)
	since := now.Sub(old.NotAfter.Add(-life / tail))
	if since < 0 || life < time.Minute || now.After(s.certificate.NotAfter) {
		return nil, nil
	}
	period := int64(since / (life / 2))
	template := *old
	template.NotBefore = old.NotAfter.Add(-life/tail + time.Duration(period)*(life/2) - BackDate)
	template.NotAfter = template.NotBefore.Add(life)
	if template.NotAfter.After(s.certificate.NotAfter) {
		template.NotAfter = s.certificate.NotAfter
	}
	template.SerialNumber = renewedSerial(old, period)
	template.ExtraExtensions, template.SignatureAlgorithm = nil, x509.UnknownSignatureAlgorithm
	// Without a source of chance the signature is that of RFC 6979, which depends on what is signed alone.
	der, err := x509.CreateCertificate(nil, &template, s.certificate, old.PublicKey, s.key)
	if err != nil {
		return nil, fmt.Errorf("renew certificate %s: %w", old.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), nil
}

// renewedSerial has 127 bits, as all serial numbers here.
func renewedSerial(old *x509.Certificate, period int64) *big.Int {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("renewed"), old.Raw...), uint64(period)))
	sum[0] &= 0x7f
	return new(big.Int).SetBytes(sum[:16])
}
