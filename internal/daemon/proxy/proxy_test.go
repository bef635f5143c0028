package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/daemon/proxy"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/control"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

// node returns a machine with the files that the proxy needs.
func node(t *testing.T) *hosttest.Fake {
	t.Helper()
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), []secret.Spec{secret.Authority(secret.AuthorityCluster)})
	if err != nil {
		t.Fatal(err)
	}
	fake := hosttest.New()
	for path, content := range map[string][]byte{
		layout.FileNode:      []byte(`{"name":"worker","addresses":["10.0.0.5"],"pool":"worker"}`),
		layout.FileClusterCA: set.Get(secret.AuthorityCluster, "", secret.DataCACert),
	} {
		if err := fake.Host().Files.Write(t.Context(), path, bytes.NewReader(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fake.ClearLog()
	return fake
}

// echoing is a server that says what it hears; the proxy tries it although it is no API server, because there is no better one.
func echoing(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); conn.Close() }()
		}
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// unit is what systemd holds: each process gets a copy.
type unit struct {
	tcp, control *os.File
	address      string
	socket       string
}

func newUnit(t *testing.T) unit {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := unit{address: tcp.Addr().String(), socket: filepath.Join(t.TempDir(), "proxy.sock")}
	unix, err := net.Listen("unix", out.socket)
	if err != nil {
		t.Fatal(err)
	}
	unix.(*net.UnixListener).SetUnlinkOnClose(false)
	tcpFile, first := tcp.(*net.TCPListener).File()
	unixFile, second := unix.(*net.UnixListener).File()
	if err := errors.Join(first, second, tcp.Close(), unix.Close()); err != nil {
		t.Fatal(err)
	}
	out.tcp, out.control = tcpFile, unixFile
	t.Cleanup(func() { tcpFile.Close(); unixFile.Close() })
	return out
}

func (u unit) listeners(t *testing.T) []net.Listener {
	t.Helper()
	var out []net.Listener
	for _, file := range []*os.File{u.control, u.tcp} {
		listener, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, listener)
	}
	return out
}

// start runs a process of the unit; stop ends it as systemd does.
func (u unit) start(t *testing.T, fake *hosttest.Fake, local netip.AddrPort) (stop func()) {
	t.Helper()
	fake.Pass(u.listeners(t)...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- proxy.Run(ctx, fake.Host(), proxy.Options{Local: local, Log: slog.New(slog.DiscardHandler)})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func echo(conn net.Conn, text string) error {
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != text {
		return errors.New("said " + text + ", heard " + string(got))
	}
	return nil
}

func TestRestartCutsNoConnection(t *testing.T) {
	fake, systemd, server := node(t), newUnit(t), echoing(t)
	stop := systemd.start(t, fake, server)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", systemd.address)
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(patience))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var open []net.Conn
	for range 3 {
		conn := dial()
		if err := echo(conn, "before"); err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	stop()
	if got := len(fake.Kept()); got != 6 {
		t.Fatalf("%d connections are kept, want the two of each of three flows", got)
	}
	waiting := dial() // nobody accepts, the kernel does
	stop = systemd.start(t, fake, server)
	for _, conn := range append(open, waiting) {
		if err := echo(conn, "after"); err != nil {
			t.Error(err)
		}
	}
	client := control.Client{Socket: systemd.socket}
	if state, err := client.State(t.Context()); err != nil || state.Connections != 4 {
		t.Errorf("state is %+v (%v), want 4 connections", state, err)
	}
	for _, conn := range append(open, waiting) {
		conn.Close()
	}
	stop()
	if want := []string{"ready", "keep 6 connections", "ready"}; !slices.Equal(fake.Log()[:3], want) {
		t.Errorf("systemd was told %q, want %q", fake.Log(), want)
	}
}

func seed(address netip.AddrPort) endpoint.Server {
	return endpoint.Server{Node: "cp-1", Addresses: []netip.AddrPort{address}}
}

func TestServersAreReadFromDisk(t *testing.T) {
	fake, systemd := node(t), newUnit(t)
	if _, err := hoststep.SeedEndpoints(t.Context(), fake.Host(), seed(echoing(t))); err != nil {
		t.Fatal(err)
	}
	defer systemd.start(t, fake, netip.AddrPort{})()
	conn, err := net.Dial("tcp", systemd.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(patience)), echo(conn, "hello")); err != nil {
		t.Error(err)
	}
}

func TestRunSaysWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		missing string
		pass    bool
		want    string
	}{
		"no identity":     {missing: layout.FileNode, pass: true, want: "read the node's identity"},
		"no authority":    {missing: layout.FileClusterCA, pass: true, want: "read the cluster's authorities"},
		"by hand":         {want: "the sockets of gardener-api-proxy.socket were not passed"},
		"nobody is known": {pass: true, want: string(fault.NoAPIServerKnown)},
	} {
		t.Run(name, func(t *testing.T) {
			fake := node(t)
			if c.missing != "" {
				if err := fake.Host().Files.Remove(t.Context(), c.missing); err != nil {
					t.Fatal(err)
				}
			}
			if c.pass {
				fake.Pass(newUnit(t).listeners(t)...)
			}
			began := time.Now()
			err := proxy.Run(t.Context(), fake.Host(), proxy.Options{Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if time.Since(began) < time.Second {
				t.Error("systemd would start it again and again without a pause")
			}
			taken, err := fake.Host().Service.Take(t.Context())
			if err != nil || c.missing != "" && len(taken.Listeners) != 2 {
				t.Errorf("left are %+v (%v), want what was passed: the next try needs it", taken, err)
			}
		})
	}
}
