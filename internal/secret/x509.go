package secret

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	authorityDays   = 3650
	certificateDays = 365
	// BackDate is how long before the moment of its issue a certificate begins: it tolerates machines whose clocks differ.
	BackDate = time.Hour
	// signingKeyBits: 3072 is the smallest RSA key that NIST recommends beyond 2030; Gardener's 4096 costs seconds on small boards.
	signingKeyBits = 3072
)

const (
	pemCertificate = "CERTIFICATE"
	pemECKey       = "EC PRIVATE KEY"
	pemRSAKey      = "RSA PRIVATE KEY"
	pemPublicKey   = "PUBLIC KEY"
)

func (i Issuer) issueAuthority(out Secret) error {
	template := i.template(out.Spec, authorityDays)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign
	key, keyPEM, err := newECKey()
	if err != nil {
		return err
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return err
	}
	out.Data[DataCACert], out.Data[DataCAKey] = cert, keyPEM
	return nil
}

func (i Issuer) issueCertificate(out, signer Secret) error {
	caCert, err := parseCertificate(signer.Data[DataCACert])
	if err != nil {
		return fmt.Errorf("read authority %s: %w", signer.Spec.Name, err)
	}
	caKey, err := parseECKey(signer.Data[DataCAKey])
	if err != nil {
		return fmt.Errorf("read authority %s: %w", signer.Spec.Name, err)
	}
	template := i.template(out.Spec, certificateDays)
	if template.NotAfter.After(caCert.NotAfter) {
		template.NotAfter = caCert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = extendedUsage(out.Spec.Kind)
	key, keyPEM, err := newECKey()
	if err != nil {
		return err
	}
	cert, err := sign(template, caCert, key.Public(), caKey)
	if err != nil {
		return err
	}
	out.Data[DataCert], out.Data[DataKey] = cert, keyPEM
	return nil
}

func extendedUsage(kind Kind) []x509.ExtKeyUsage {
	switch kind {
	case Server:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case Client:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

func (i Issuer) template(spec Spec, days int) *x509.Certificate {
	if spec.ValidDays > 0 {
		days = spec.ValidDays
	}
	now := i.now()
	out := &x509.Certificate{
		Subject:   pkix.Name{CommonName: spec.CommonName, Organization: spec.Organization},
		DNSNames:  spec.DNSNames,
		NotBefore: now.Add(-BackDate).UTC(),
		NotAfter:  now.AddDate(0, 0, days).UTC(),
	}
	for _, ip := range spec.IPs {
		out.IPAddresses = append(out.IPAddresses, net.IP(ip.AsSlice()))
	}
	return out
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), nil
}

func newECKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: pemECKey, Bytes: der}), nil
}

func issueSigningKey(out Secret) error {
	key, err := rsa.GenerateKey(rand.Reader, signingKeyBits)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	out.Data[DataSigningKey] = pem.EncodeToMemory(&pem.Block{Type: pemRSAKey, Bytes: x509.MarshalPKCS1PrivateKey(key)})
	out.Data[DataSigningPub] = pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: public})
	return nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemCertificate {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseECKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemECKey {
		return nil, errors.New("no PEM key")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// Fingerprint is the hex SHA-256 of a PEM certificate's DER bytes, "" when there is none; it tells authorities apart.
func Fingerprint(certPEM []byte) string {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
