package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

const kubeletCertificate = "/var/lib/kubelet/pki/kubelet-client-current.pem"

// TestKubeletRotation: the kubelet replaces the client certificate that it was given by a request of its own.
// The one that init issues lives for a month, so the test lays a short one, signed by the cluster's own authority.
func TestKubeletRotation(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	node := s.boot("cp-1")
	node.run("gardenadm", "init", "--bundle", "/root/bundle")

	now := time.Now()
	short := issue(t, node, pkix.Name{CommonName: "system:node:cp-1", Organization: []string{"system:nodes"}}, now, now.Add(90*time.Second))
	check(t, node.WriteFile(s.ctx, "/var/lib/kubelet/pki/short.pem", short, 0o600))
	node.run("ln", "-sfn", "/var/lib/kubelet/pki/short.pem", kubeletCertificate)
	node.run("systemctl", "restart", "kubelet.service")

	s.eventually("the kubelet has a new client certificate", 2*time.Minute, func() error {
		data, err := node.ReadFile(s.ctx, kubeletCertificate)
		if err != nil {
			return err
		}
		if life := lifeOf(t, data); life < 24*time.Hour {
			return fmt.Errorf("the certificate still is the one that lives for %s", life)
		}
		return nil
	})
	out := node.mustKubectl("get", "csr", "-o", "jsonpath={range .items[*]}{.spec.signerName} {.spec.username} {.status.conditions[*].type}{\"\\n\"}{end}")
	if want := "kubernetes.io/kube-apiserver-client-kubelet system:node:cp-1 Approved"; !strings.Contains(out, want) {
		t.Errorf("no request like %q:\n%s", want, out)
	}
	// The short one has run out by now or soon: the node must live on with the new one.
	time.Sleep(time.Until(notAfter(t, short)) + 5*time.Second)
	s.eventually("the node is Ready with the new certificate", time.Minute, func() error { return node.allPodsReady(systemPods) })
	stamp := node.mustKubectl("get", "lease", "-n", "kube-node-lease", "cp-1", "-o", "jsonpath={.spec.renewTime}")
	s.eventually("the kubelet renews its lease", time.Minute, func() error {
		now, err := node.kubectl("get", "lease", "-n", "kube-node-lease", "cp-1", "-o", "jsonpath={.spec.renewTime}")
		if err == nil && now == stamp {
			err = fmt.Errorf("renewed last at %s", now)
		}
		return err
	})
}

// issue signs a client certificate, with its key, with the authority that the API keeps.
func issue(t testing.TB, cp *host, subject pkix.Name, from, to time.Time) []byte {
	t.Helper()
	var list struct {
		Items []struct{ Data map[string]string }
	}
	out := cp.mustKubectl("get", "secret", "-n", "kube-system", "-l", "name=ca-client,manager-identity=self-hosted-shoot", "-o", "json")
	check(t, json.Unmarshal([]byte(out), &list))
	if len(list.Items) != 1 {
		t.Fatalf("the API keeps %d secrets ca-client, want 1", len(list.Items))
	}
	caCert, err := x509.ParseCertificate(decode(t, list.Items[0].Data["ca.crt"]))
	check(t, err)
	caKey, err := x509.ParseECPrivateKey(decode(t, list.Items[0].Data["ca.key"]))
	check(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, caCert, key.Public(), caKey)
	check(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	check(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})...)
}

func decode(t testing.TB, data string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(data)
	check(t, err)
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatal("no PEM in the secret")
	}
	return block.Bytes
}

func lifeOf(t testing.TB, data []byte) time.Duration {
	t.Helper()
	cert := firstCertificate(t, data)
	return cert.NotAfter.Sub(cert.NotBefore)
}

func notAfter(t testing.TB, data []byte) time.Time {
	t.Helper()
	return firstCertificate(t, data).NotAfter
}

func firstCertificate(t testing.TB, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	return cert
}
