package control_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/proxy"
	"github.com/gardenadm/gardenadm/internal/node/proxy/control"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// disk has no files, and writes fail with err.
type disk struct{ err error }

func (disk) Read(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }
func (d disk) Write(context.Context, string, io.Reader, fs.FileMode) error {
	return d.err
}

// serve runs a proxy that knows nothing, and its socket.
func serve(t *testing.T, files proxy.Files) (control.Client, http.Handler) {
	t.Helper()
	p := proxy.New(t.Context(), proxy.Options{Node: "worker", Authorities: x509.NewCertPool(), Files: files, Path: "/endpoints.json"})
	socket := filepath.Join(t.TempDir(), "proxy.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	handler := control.Handler(p)
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return control.Client{Socket: socket}, handler
}

func list(sequence int64) endpoint.List {
	return endpoint.List{Generation: 1, Sequence: sequence, Servers: []endpoint.Server{
		{Node: "cp-1", Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:6443")}},
	}}
}

func TestListIsOffered(t *testing.T) {
	client, _ := serve(t, disk{})
	for _, sequence := range []int64{2, 1} { // the older one is no error, and not used
		if err := client.Offer(t.Context(), list(sequence)); err != nil {
			t.Fatal(err)
		}
	}
	state, err := client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if state.Sequence != 2 || len(state.Servers) != 1 || state.Servers[0].Node != "cp-1" || state.Problem != "" {
		t.Errorf("state is %+v", state)
	}
}

func TestListThatIsNotWritten(t *testing.T) {
	client, _ := serve(t, disk{err: errors.New("disk full")})
	if err := client.Offer(t.Context(), list(1)); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
	if state, err := client.State(t.Context()); err != nil || state.Sequence != 1 || state.Problem == "" {
		t.Errorf("state is %+v (%v), want the list in use", state, err)
	}
}

func TestBadRequests(t *testing.T) {
	_, handler := serve(t, disk{})
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"no list":       {"PUT", "/endpoints", `{"generation":1,"sequence":1,"servers":[]}`, http.StatusBadRequest},
		"too long":      {"PUT", "/endpoints", strings.Repeat(" ", 2<<20), http.StatusBadRequest},
		"other method":  {"DELETE", "/endpoints", "", http.StatusMethodNotAllowed},
		"other request": {"GET", "/", "", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			if recorder.Code != c.want {
				t.Errorf("got %d, want %d", recorder.Code, c.want)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	client := control.Client{Socket: filepath.Join(t.TempDir(), "none.sock")}
	if _, err := client.State(t.Context()); err == nil {
		t.Error("no error")
	}
}
