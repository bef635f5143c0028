package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

// running is a proxy that serves on one listener.
type running struct {
	*Proxy
	address string
	stop    func() // ends Serve and waits for it
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// run serves the backends with the options; what they lack is filled in.
func run(t testing.TB, o Options, timing timing, backends ...*backend) running {
	t.Helper()
	o.Files = &memory{}
	if o.Node == "" {
		o.Node = "worker"
	}
	if o.Listeners == nil {
		o.Listeners = []net.Listener{listen(t)}
	}
	p := newProxy(o, timing)
	if len(backends) > 0 {
		known := list(1)
		for _, b := range backends {
			known.Servers = append(known.Servers, b.server())
		}
		if _, err := p.Offer(t.Context(), known); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := p.Serve(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := func() { cancel(); served.Wait() }
	t.Cleanup(stop)
	return running{p, o.Listeners[0].Addr().String(), stop}
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// echo says something and wants to hear it again.
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

// attempt connects and wants an echo. A connection that is refused may be reset before it was made.
func attempt(address, text string) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	return errors.Join(conn.SetDeadline(time.Now().Add(patience)), echo(conn, text))
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// healthOf is what the proxy knows of a backend.
func healthOf(p *Proxy, b *backend) ServerState {
	for _, s := range p.State().Servers {
		if s.Address == b.address {
			return s
		}
	}
	return ServerState{}
}

func client(a authority, address string) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		TLSClientConfig:   &tls.Config{RootCAs: a.pool, ServerName: cluster.TLSServerName},
		ForceAttemptHTTP2: true,
	}}
}

func get(c *http.Client) (string, error) {
	response, err := c.Get("https://" + cluster.TLSServerName + "/name")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
