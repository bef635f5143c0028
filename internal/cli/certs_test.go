package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

func TestCertsCheck(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	fake := hosttest.New()
	h := fake.Host()
	for name, left := range map[string]time.Duration{"late": -time.Hour, "next": 48 * time.Hour, "young": 1000 * time.Hour} {
		raw := certificate(t, name, now.Add(left))
		if err := h.Files.Write(t.Context(), layout.DirStaticPods+"/pod/volume/"+name+".crt", bytes.NewReader(raw), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for within, want := range map[time.Duration]struct{ order, says string }{
		time.Hour:        {"expired late, ok next, ok young", "1 of 3"},
		72 * time.Hour:   {"expired late, soon next, ok young", "2 of 3"},
		2000 * time.Hour: {"expired late, soon next, soon young", "3 of 3"},
	} {
		var out strings.Builder
		err := checkCertificates(t.Context(), h, certificateCheck{Now: now, Within: within}, &out)
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
			fields := strings.Fields(line)
			got = append(got, fields[0]+" "+fields[len(fields)-2])
		}
		if order := strings.Join(got, ", "); order != want.order {
			t.Errorf("within %s: got %s, want %s", within, order, want.order)
		}
		if found := fault.Of(err); len(found) == 0 || found[0].Code != fault.CertificateExpired || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), "late.crt") {
			t.Errorf("within %s: %v", within, err)
		}
	}
	if err := h.Files.Remove(t.Context(), layout.DirStaticPods+"/pod/volume/late.crt"); err != nil {
		t.Fatal(err)
	}
	if err := checkCertificates(t.Context(), h, certificateCheck{Now: now, Within: time.Hour}, &strings.Builder{}); err != nil {
		t.Errorf("all is well: %v", err)
	}
}

// All places are looked at: of a worker, too.
func TestCertsCheckFindsThemAll(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	h := hosttest.New().Host()
	embedded := "users:\n- user:\n    client-certificate-data: " + base64.StdEncoding.EncodeToString(certificate(t, "x", now.Add(time.Hour))) + "\n"
	places := map[string]string{
		layout.FileGardenletConf:                                       embedded,
		layout.FileAdminKubeconfig:                                     embedded,
		layout.DirKubelet + "/pki/kubelet-server-current.pem":          "",
		layout.FileKubeletCert:                                         "",
		layout.FileAgentCert:                                           "",
		layout.FileServingCert:                                         "",
		layout.DirAuthorities + "/ca.crt":                              "",
		layout.DirStaticPods + "/kube-apiserver/volume/tls.crt":        "",
		layout.DirStaticPods + "/kube-scheduler/kubeconfig/kubeconfig": embedded,
	}
	for file, text := range places {
		if text == "" {
			text = string(certificate(t, "x", now.Add(time.Hour)))
		}
		write(t, h, file, text)
	}
	write(t, h, layout.DirKubelet+"/pki/kubelet-client-2026-01-01-00-00-00.pem", string(certificate(t, "old", now))) // replaced by another
	var out strings.Builder
	if err := checkCertificates(t.Context(), h, certificateCheck{Now: now}, &out); err != nil {
		t.Error(err)
	}
	for file := range places {
		if !strings.Contains(out.String(), file) {
			t.Errorf("%s is not listed", file)
		}
	}
	if strings.Contains(out.String(), "old") {
		t.Errorf("what is not used any more is listed:\n%s", out.String())
	}
}

// A damaged certificate is told, and a machine without any is no node.
func TestCertsCheckOfWhatIsNoCertificate(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	h := hosttest.New().Host()
	check := func() (string, error) {
		var out strings.Builder
		err := checkCertificates(t.Context(), h, certificateCheck{Now: now, Output: "json"}, &out)
		return strings.TrimSpace(out.String()), err
	}
	if out, err := check(); out != "[]" || ExitCode(err) != exitPrecondition {
		t.Errorf("on a machine that is no node: %s, %v", out, err)
	}
	good := string(certificate(t, "x", now.Add(time.Hour)))
	write(t, h, layout.FileServingCert, good)
	if _, err := check(); err != nil {
		t.Error(err)
	}
	damaged := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	for name, text := range map[string]string{"empty": "", "cut": good[:len(good)/2], "damaged": damaged, "half damaged": good + damaged} {
		write(t, h, layout.FileKubeletCert, text)
		out, err := check()
		if ExitCode(err) != exitOther || !strings.Contains(err.Error(), layout.FileKubeletCert) || strings.Count(out, `"unreadable"`) != 1 {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	var text strings.Builder
	if err := checkCertificates(t.Context(), h, certificateCheck{Now: now}, &text); err == nil || !strings.Contains(text.String(), "unreadable") {
		t.Errorf("as text: %v\n%s", err, text.String())
	}
}

func TestPreflightTowardsNoAddress(t *testing.T) {
	if code, _, said := execute(t, "preflight", "--control-plane", "cp-1.example"); code != exitUsage || !strings.Contains(said, "cp-1.example") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

func certificate(t *testing.T, name string, ends time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: ends.Add(-9999 * time.Hour), NotAfter: ends}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
