package hoststep_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// pair is a certificate for the user that ends at the time, and its key.
func pair(t *testing.T, user string, until time.Time) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user}, NotBefore: until.Add(-time.Hour), NotAfter: until}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// TestKeptIdentity: only a whole pair that is good for the user spares a request.
func TestKeptIdentity(t *testing.T) {
	const path = "/x/pair.pem"
	later := time.Now().Add(time.Minute)
	good, goodKey := pair(t, "me", later)
	old, oldKey := pair(t, "me", time.Now().Add(-time.Second))
	_, otherKey := pair(t, "me", later)
	for name, test := range map[string]struct {
		content string
		want    bool
	}{
		"whole":        {string(good) + string(goodKey), true},
		"over":         {string(old) + string(oldKey), false},
		"without key":  {string(good), false},
		"another key":  {string(good) + string(otherKey), false},
		"half-written": {"-----BEGIN", false},
		"nothing":      {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			machine := hosttest.New().Host()
			if test.content != "" {
				if err := machine.Files.Write(t.Context(), path, strings.NewReader(test.content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := hoststep.KeptIdentity(t.Context(), machine, path, "me")
			if err != nil || (got != nil) != test.want {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if got, err := hoststep.KeptIdentity(t.Context(), machine, path, "you"); got != nil || err != nil {
				t.Errorf("for somebody else: %d bytes, %v", len(got), err)
			}
		})
	}
}
