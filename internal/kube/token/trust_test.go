package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clientcmd "k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/cluster-bootstrap/token/jws"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/token"
)

const serverName = "kubernetes.default.svc"

// authority is a certificate authority of a test cluster.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{certificate, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func (a authority) pin() token.Pin { return sha256.Sum256(a.certificate.RawSubjectPublicKeyInfo) }

func (a authority) serving(t *testing.T, spoil func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if spoil != nil {
		spoil(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// site is a cluster as a joining machine meets it.
type site struct {
	serves, published authority
	others            []byte                  // published beside it, PEM
	serving           func(*x509.Certificate) // spoils the server's certificate
	data              map[string]string
	status            int
	elsewhere         string        // where the server sends everybody
	clock             time.Duration // of the server, against this machine's
	silent            bool          // about its clock
}

func newSite(t *testing.T, known token.Token) *site {
	t.Helper()
	a := newAuthority(t)
	s := &site{serves: a, published: a, data: map[string]string{}, status: http.StatusOK}
	s.publish(t, known)
	return s
}

// publish signs cluster-info with the token.
func (s *site) publish(t *testing.T, known token.Token) {
	t.Helper()
	config, err := clientcmd.Write(clientcmdapi.Config{Clusters: map[string]*clientcmdapi.Cluster{
		"": {Server: "https://192.0.2.1:6443", CertificateAuthorityData: append(s.published.pem(), s.others...)},
	}})
	must(t, err)
	signature, err := jws.ComputeDetachedSignature(string(config), known.ID, known.Secret)
	must(t, err)
	s.data["kubeconfig"], s.data["jws-kubeconfig-"+known.ID] = string(config), signature
}

func (s *site) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent to a server that is not trusted yet")
		}
		w.Header().Set("Date", time.Now().Add(s.clock).UTC().Format(http.TimeFormat))
		if s.silent {
			w.Header()["Date"] = nil
		}
		if s.elsewhere != "" {
			w.Header().Set("Location", s.elsewhere)
		}
		w.WriteHeader(s.status)
		json.NewEncoder(w).Encode(corev1.ConfigMap{Data: s.data}) //nolint:errcheck // the client tells
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.serves.serving(t, s.serving)}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestEstablish(t *testing.T) {
	known := parse(t, "abcdef.0123456789abcdef")
	other := parse(t, "ghijkl.0123456789abcdef")
	for name, test := range map[string]struct {
		spoil func(*testing.T, *site, *token.Trust)
		want  fault.Code
		says  string
	}{
		"token and pin agree":     {},
		"one of two pins":         {spoil: func(_ *testing.T, s *site, tr *token.Trust) { tr.Pins = []token.Pin{{}, s.published.pin()} }},
		"with the authority":      {spoil: func(_ *testing.T, s *site, tr *token.Trust) { tr.Pins, tr.CA, s.data = nil, s.serves.pem(), nil }},
		"unknown token":           {spoil: func(_ *testing.T, _ *site, tr *token.Trust) { tr.Token = other }, want: fault.UnknownToken, says: "token ghijkl"},
		"secret of another token": {spoil: func(_ *testing.T, _ *site, tr *token.Trust) { tr.Token.Secret = "aaaaaaaaaaaaaaaa" }, want: fault.ForeignToken, says: "at the API server"},
		"expired token": {spoil: func(_ *testing.T, s *site, tr *token.Trust) {
			tr.Token = other
			s.data["gardenadm-tokens"] = `[{"id":"ghijkl","expires":"2001-01-01T00:00:00Z"}]`
		}, want: fault.ExpiredToken, says: "expired at 2001-01-01T00:00:00Z"},
		"unreadable history": {spoil: func(_ *testing.T, s *site, tr *token.Trust) {
			tr.Token = other
			s.data["gardenadm-tokens"] = "x"
		}, want: fault.UnknownToken},
		"wrong pin": {spoil: func(_ *testing.T, _ *site, tr *token.Trust) { tr.Pins = []token.Pin{{1}} }, want: fault.WrongPin, says: "wanted was AQ"},
		"somebody in between with the real cluster-info": {spoil: func(t *testing.T, s *site, _ *token.Trust) { s.serves = newAuthority(t) }, want: fault.WrongPin},
		"somebody in between with cluster-info of his own": {spoil: func(t *testing.T, s *site, _ *token.Trust) {
			s.published = newAuthority(t)
			s.publish(t, parse(t, "abcdef.zzzzzzzzzzzzzzzz"))
		}, want: fault.WrongPin},
		"somebody who has the token adds an authority of his own": {spoil: func(t *testing.T, s *site, _ *token.Trust) {
			s.serves = newAuthority(t)
			s.others = s.serves.pem()
			s.publish(t, known)
		}, want: fault.WrongPin},
		"two authorities, the pinned one serves": {spoil: func(t *testing.T, s *site, _ *token.Trust) {
			s.others = newAuthority(t).pem()
			s.publish(t, known)
		}},
		"line of another cluster": {spoil: func(_ *testing.T, _ *site, tr *token.Trust) { tr.Pins, tr.Token = []token.Pin{{1}}, other }, want: fault.WrongPin, says: "at the API server"},
		"not signed yet": {spoil: func(_ *testing.T, s *site, tr *token.Trust) {
			tr.Token = other
			s.data["gardenadm-tokens"] = `[{"id":"ghijkl","expires":"2999-01-01T00:00:00Z"}]`
		}, want: fault.UnknownToken, says: "not signed with yet"},
		"certificate that has expired": {spoil: func(_ *testing.T, s *site, _ *token.Trust) {
			s.serving = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
		}, want: fault.ExpiredServer, says: "at the API server"},
		"certificate of another server": {spoil: func(_ *testing.T, s *site, _ *token.Trust) {
			s.serving = func(c *x509.Certificate) { c.DNSNames = []string{"mirror"} }
		}, want: fault.OtherServer, says: "mirror"},
		"sent elsewhere": {spoil: func(t *testing.T, s *site, _ *token.Trust) {
			s.elsewhere, s.status = "https://"+newSite(t, known).start(t), http.StatusFound
		}, want: fault.NotForJoining, says: "302"},
		"without a clock":                      {spoil: func(_ *testing.T, s *site, tr *token.Trust) { tr.Token, s.silent = other, true }, want: fault.UnknownToken, says: "knows no token ghijkl (GA"},
		"another authority than the given one": {spoil: func(t *testing.T, _ *site, tr *token.Trust) { tr.CA = newAuthority(t).pem() }, want: fault.WrongPin, says: "at the API server"},
		"clock behind":                         {spoil: func(_ *testing.T, s *site, _ *token.Trust) { s.clock = time.Minute }, want: fault.SkewedClock},
		"clock a year behind": {spoil: func(_ *testing.T, _ *site, tr *token.Trust) {
			tr.Now = func() time.Time { return time.Now().AddDate(-1, 0, 0) }
		}, want: fault.SkewedClock},
		"clock a year ahead": {spoil: func(_ *testing.T, _ *site, tr *token.Trust) {
			tr.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
		}, want: fault.SkewedClock},
		"not allowed to read":    {spoil: func(_ *testing.T, s *site, _ *token.Trust) { s.status = http.StatusForbidden }, want: fault.NotForJoining, says: "403"},
		"nothing published":      {spoil: func(_ *testing.T, s *site, _ *token.Trust) { s.data = nil }, want: fault.NotForJoining},
		"no kubeconfig in it":    {spoil: func(t *testing.T, s *site, _ *token.Trust) { s.content(t, known, "x") }, want: fault.NotForJoining},
		"no authority in it":     {spoil: func(t *testing.T, s *site, _ *token.Trust) { s.content(t, known, "clusters: []") }, want: fault.NotForJoining},
		"no certificate in --ca": {spoil: func(_ *testing.T, _ *site, tr *token.Trust) { tr.CA = []byte("x") }, want: fault.BadFlag},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, known)
			trust := token.Trust{Token: known, Pins: []token.Pin{s.published.pin()}}
			if test.spoil != nil {
				test.spoil(t, s, &trust)
			}
			address := s.start(t)
			got, err := trust.Establish(t.Context(), serverName, []string{address})
			if test.want == "" {
				if err != nil || string(got.CA) != string(s.published.pem())+string(s.others) || got.Address != address {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			if code := codeOf(err); code != test.want || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v (%s), want %s and %q", err, code, test.want, test.says)
			}
			if strings.Contains(err.Error(), trust.Token.Secret) {
				t.Errorf("the error gives the token away: %v", err)
			}
		})
	}
}

// content publishes something else, signed as it must be.
func (s *site) content(t *testing.T, known token.Token, text string) {
	t.Helper()
	signature, err := jws.ComputeDetachedSignature(text, known.ID, known.Secret)
	must(t, err)
	s.data = map[string]string{"kubeconfig": text, "jws-kubeconfig-" + known.ID: signature}
}

func TestEstablishTriesTheNextAddress(t *testing.T) {
	known := parse(t, "abcdef.0123456789abcdef")
	s := newSite(t, known)
	trust := token.Trust{Token: known, Pins: []token.Pin{s.published.pin()}}
	silent := "127.0.0.1:1"
	address := s.start(t)
	got, err := trust.Establish(t.Context(), serverName, []string{silent, address})
	if err != nil || got.Address != address {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := trust.Establish(t.Context(), serverName, []string{silent}); codeOf(err) != fault.NoAPIServer || !strings.Contains(err.Error(), silent) {
		t.Errorf("got %v", err)
	}
}

func TestRefused(t *testing.T) {
	known, other := parse(t, "abcdef.0123456789abcdef"), parse(t, "ghijkl.0123456789abcdef")
	cause := fault.New(fault.TokenRefused, "Unauthorized")
	for name, test := range map[string]struct {
		spoil func(*site, *token.Trust)
		want  fault.Code
		says  string
	}{
		"unknown": {func(_ *site, tr *token.Trust) { tr.Token = other }, fault.UnknownToken, "knows no token ghijkl; it is 2"},
		"expired, and still signed with": {func(s *site, _ *token.Trust) {
			s.data["gardenadm-tokens"] = `[{"id":"abcdef","expires":"2001-01-01T00:00:00Z"}]`
		}, fault.ExpiredToken, "expired at 2001"},
		"mistyped":          {func(_ *site, tr *token.Trust) { tr.Token.Secret = "aaaaaaaaaaaaaaaa" }, fault.ForeignToken, "does not fit"},
		"nobody knows why":  {func(*site, *token.Trust) {}, fault.TokenRefused, "it is 2"},
		"nothing published": {func(s *site, _ *token.Trust) { s.data = nil }, fault.TokenRefused, "Unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, known)
			trust := token.Trust{Token: known, CA: s.serves.pem()}
			test.spoil(s, &trust)
			err := trust.Refused(t.Context(), serverName, token.Cluster{CA: trust.CA, Address: s.start(t)}, cause)
			if code := codeOf(err); code != test.want || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v (%s), want %s and %q", err, code, test.want, test.says)
			}
		})
	}
	if err := (token.Trust{Token: known}).Refused(t.Context(), serverName, token.Cluster{CA: newAuthority(t).pem(), Address: "127.0.0.1:1"}, cause); err != error(cause) {
		t.Errorf("with nobody to ask: %v", err)
	}
}
