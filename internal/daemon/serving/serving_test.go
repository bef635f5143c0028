package serving

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair makes a certificate with a serial number, and its key.
func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	check(t, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey})
}

func lay(t *testing.T, h *host.Host, path string, content []byte) {
	t.Helper()
	check(t, h.Files.Write(t.Context(), path, bytes.NewReader(content), 0o600))
}

// served is the serial number of the certificate that a client gets, 0 for none.
func served(t *testing.T, config *tls.Config) int64 {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		_ = tls.Server(there, config).Handshake() // the client tells
		_ = there.Close()
	}()
	client := tls.Client(here, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which certificate it is, is the question
	if client.Handshake() != nil {
		return 0
	}
	return client.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestRenewedCertificate(t *testing.T) {
	h := hosttest.New().Host()
	log := &bytes.Buffer{}
	config := Config(h.Files, slog.New(slog.NewTextHandler(log, nil)))
	if got := served(t, config); got != 0 {
		t.Fatalf("certificate %d out of nothing", got)
	}
	first, firstKey := pair(t, 1)
	second, secondKey := pair(t, 2)
	for _, step := range []struct {
		name, path string
		content    []byte
		want       int64
	}{
		{"a certificate without a key", layout.FileServingCert, first, 0},
		{"the first pair", layout.FileServingKey, firstKey, 1},
		{"between the writes of two files", layout.FileServingCert, second, 1},
		{"the second pair", layout.FileServingKey, secondKey, 2},
		{"half a file", layout.FileServingCert, second[:20], 2},
	} {
		lay(t, h, step.path, step.content)
		if got := served(t, config); got != step.want {
			t.Errorf("%s: certificate %d serves, want %d", step.name, got, step.want)
		}
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("the log has a key: %s", log)
	}
}

func TestListen(t *testing.T) {
	h := hosttest.New().Host()
	if _, err := Listen(t.Context(), h.Files, 0); err == nil {
		t.Error("it listens without knowing its address")
	}
	lay(t, h, layout.FileNode, []byte(`{"addresses":[]}`))
	if _, err := Listen(t.Context(), h.Files, 0); err == nil || !strings.Contains(err.Error(), "holds no address") {
		t.Errorf("got %v", err)
	}
	lay(t, h, layout.FileNode, []byte(`{"name":"a","addresses":["127.0.0.1","192.0.2.1"]}`))
	listener, err := Listen(context.Background(), h.Files, 0)
	check(t, err)
	defer listener.Close()
	if got := listener.Addr().String(); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("it listens on %s", got)
	}
}
