package nodeagent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// TestRenewalShowsTheExpiredCertificate: the server sees who asks, and the answers are told apart.
func TestRenewalShowsTheExpiredCertificate(t *testing.T) {
	w := newWorld(t, newAPI(), "w1", "workers")
	w.writeCredentials(-time.Hour)
	o := Options{Host: w.fake.Host()}
	identity, err := readIdentity(t.Context(), o)
	w.must(err)
	answer, code := `{"token":"abcdef.0123456789abcdef"}`, http.StatusOK
	var shown *x509.Certificate
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		if len(request.TLS.PeerCertificates) > 0 {
			shown = request.TLS.PeerCertificates[0]
		}
		if request.Method != http.MethodPost || request.URL.Path != "/renewal" {
			code = http.StatusNotFound
		}
		out.WriteHeader(code)
		_, _ = io.WriteString(out, answer)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	identity.roots = x509.NewCertPool()
	identity.roots.AddCert(server.Certificate())

	d := &daemon{Options: o, node: w.node, identity: identity}
	token, err := askRenewal(t.Context(), d.renewalDoor(), server.URL+"/renewal")
	w.must(err)
	if token != "abcdef.0123456789abcdef" || !shown.Equal(identity.certificate.Leaf) || !time.Now().After(shown.NotAfter) {
		t.Errorf("got %q, shown %v", token, shown)
	}
	for name, test := range map[string]struct {
		code   int
		answer string
		want   fault.Code
	}{
		"refused":  {http.StatusForbidden, "the Node is gone\n", fault.RenewalRefused},
		"not now":  {http.StatusServiceUnavailable, "later", ""},
		"no token": {http.StatusOK, `{"token":"hidden"}`, ""},
	} {
		code, answer = test.code, test.answer
		_, err := askRenewal(t.Context(), d.renewalDoor(), server.URL+"/renewal")
		f, isFault := errors.AsType[*fault.Error](err)
		if err == nil || isFault != (test.want != "") || isFault && f.Code != test.want || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestControlPlaneIsAskedOwnNodeFirst(t *testing.T) {
	w := newWorld(t, newAPI(), "cp2", "control-plane")
	at := func(address string) netip.AddrPort { return netip.MustParseAddrPort(address + ":6443") }
	raw, err := endpoint.Known{
		List: endpoint.List{Generation: 1, Sequence: 1, Servers: []endpoint.Server{
			{Node: "cp1", Addresses: []netip.AddrPort{at("192.0.2.1")}}, {Node: "cp2", Addresses: []netip.AddrPort{at("192.0.2.2")}},
		}},
		Retired: []endpoint.Retired{{Node: "cp0", Address: at("192.0.2.9"), Since: time.Now()}},
	}.Encode()
	w.must(err)
	w.write(layout.FileEndpoints, string(raw), 0o644)
	got, err := (&daemon{Options: Options{Host: w.fake.Host()}, node: w.node}).controlPlane(t.Context())
	w.must(err)
	if want := []netip.Addr{at("192.0.2.2").Addr(), at("192.0.2.1").Addr(), at("192.0.2.9").Addr()}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestClientShowsTheNewCertificate: a certificate that was replaced is shown on the next connection, and the old one is closed.
func TestClientShowsTheNewCertificate(t *testing.T) {
	w := newWorld(t, newAPI(), "w1", "workers")
	o := Options{Host: w.fake.Host()}
	identity, err := readIdentity(t.Context(), o)
	w.must(err)
	var shown []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		shown = append(shown, request.TLS.PeerCertificates[0].SerialNumber.String())
		out.WriteHeader(http.StatusNotFound)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	identity.server, identity.serverName = server.URL, "example.com"
	identity.roots = x509.NewCertPool()
	identity.roots.AddCert(server.Certificate())
	api, err := identity.client(nil)
	w.must(err)
	ask := func() {
		_ = api.Get(context.Background(), client.ObjectKey{Name: "w1"}, &corev1.Node{}) // there is none
	}
	ask()
	w.writeCredentials(time.Hour)
	next, err := readPair(t.Context(), o, layout.FileAgentCert)
	w.must(err)
	identity.replace(next)
	ask()
	if len(shown) != 2 || shown[0] == shown[1] || shown[1] != next.Leaf.SerialNumber.String() {
		t.Errorf("shown: %q", shown)
	}
}

func TestProxyOfTheNodeIsTold(t *testing.T) {
	if _, err := net.Dial("unix", layout.SocketProxy); err == nil {
		t.Skip("this machine has a proxy")
	}
	list := endpoint.List{Generation: 1, Sequence: 1, Servers: []endpoint.Server{{Node: "cp1", Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:6443")}}}}
	if err := tellProxy(t.Context(), list); err == nil {
		t.Error("no proxy, and no error")
	}
}

func FuzzDecodeRenewal(f *testing.F) {
	f.Add([]byte(`{"token":"abcdef.0123456789abcdef","expires":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"token":"abcdef"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := decodeRenewal(body)
		if (err == nil) != (token != "") || len(token) > 23 {
			t.Errorf("token %q, error %v", token, err)
		}
	})
}
