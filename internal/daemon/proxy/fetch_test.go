package proxy

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

const known = `{"generation":2,"sequence":5,"servers":[{"node":"cp-1","addresses":["10.0.0.1:6443"]}]}`

func TestFetch(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		body     string
		stranger bool
		want     string // of the error, "" for none
	}{
		"a list":     {http.StatusOK, known, false, ""},
		"no list":    {http.StatusOK, "hello", false, "read list of API servers"},
		"too long":   {http.StatusOK, known + strings.Repeat(" ", 1<<20), false, "at most"},
		"no answer":  {http.StatusServiceUnavailable, known, false, "503 Service Unavailable"},
		"elsewhere":  {http.StatusFound, known, false, "302 Found"},
		"a stranger": {http.StatusOK, known, true, "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/endpoints" {
					t.Errorf("asked for %s %s", r.Method, r.URL)
				}
				if c.status == http.StatusFound {
					w.Header().Set("Location", "/elsewhere")
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			t.Cleanup(server.Close)
			authorities := x509.NewCertPool()
			if !c.stranger {
				authorities.AddCert(server.Certificate())
			}
			address := netip.MustParseAddrPort(server.Listener.Addr().String())
			list, err := newGardenlets(authorities, address.Port()).Fetch(t.Context(), address.Addr())
			switch {
			case c.want == "" && (err != nil || list.Generation != 2 || list.Servers[0].Node != "cp-1"):
				t.Errorf("got %+v, %v", list, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
