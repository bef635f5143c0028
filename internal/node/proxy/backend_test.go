package proxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// authority issues what a cluster's API servers show.
type authority struct {
	pool        *x509.CertPool
	certificate tls.Certificate
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), []secret.Spec{
		secret.Authority(secret.AuthorityCluster),
		{Name: "kube-apiserver", Kind: secret.Server, Signer: secret.AuthorityCluster, CommonName: "kube-apiserver", DNSNames: []string{cluster.TLSServerName}},
	})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(set.Get("kube-apiserver", "", secret.DataCert), set.Get("kube-apiserver", "", secret.DataKey))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(set.Get(secret.AuthorityCluster, "", secret.DataCACert))
	return authority{pool, pair}
}

// backend is an API server: over TLS it serves /readyz and its own name, to anything else it is what raw does (echo by default).
type backend struct {
	node     string
	address  netip.AddrPort
	listener *net.TCPListener
	web      chan net.Conn
	done     chan struct{} // closed when it listens no more
	raw      func(io.Reader, *net.TCPConn)

	mu     sync.Mutex
	status int
	hangs  chan struct{} // not nil while it hangs
	conns  []*net.TCPConn
}

func newBackend(t testing.TB, a authority, node string) *backend {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets take no filter, see deafen
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{node: node, address: addrPort(listener.Addr()), listener: listener.(*net.TCPListener), web: make(chan net.Conn), done: make(chan struct{}), status: http.StatusOK}
	b.raw = func(in io.Reader, conn *net.TCPConn) {
		_, _ = io.Copy(conn, in)
		_ = conn.Close()
	}
	server := &http.Server{Handler: b, ErrorLog: log.New(io.Discard, "", 0)}
	var all sync.WaitGroup
	all.Go(func() {
		_ = server.Serve(tls.NewListener(b, &tls.Config{Certificates: []tls.Certificate{a.certificate}, NextProtos: []string{"h2", "http/1.1"}}))
	})
	all.Go(func() {
		for {
			conn, err := b.listener.AcceptTCP()
			if err != nil {
				close(b.done)
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			b.mu.Unlock()
			all.Go(func() { b.take(conn) })
		}
	})
	t.Cleanup(func() {
		b.hang(false)
		b.kill()
		_ = server.Close()
		all.Wait()
	})
	return b
}

// tlsHandshake begins the first record of a TLS client.
const tlsHandshake = 22

// take tells TLS from anything else by the first byte.
func (b *backend) take(conn *net.TCPConn) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return
	}
	in := io.MultiReader(bytes.NewReader(first), conn)
	if first[0] != tlsHandshake {
		b.raw(in, conn)
		return
	}
	select {
	case b.web <- peeked{conn, in}:
	case <-b.done:
		_ = conn.Close()
	}
}

type peeked struct {
	*net.TCPConn
	in io.Reader
}

func (p peeked) Read(into []byte) (int, error) { return p.in.Read(into) }

// Accept, Close and Addr make the backend the listener of its web server.
func (b *backend) Accept() (net.Conn, error) {
	select {
	case conn := <-b.web:
		return conn, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}
func (b *backend) Close() error   { return b.listener.Close() }
func (b *backend) Addr() net.Addr { return b.listener.Addr() }

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	status, hangs := b.status, b.hangs
	b.mu.Unlock()
	if hangs != nil {
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	}
	if r.URL.Path == "/readyz" {
		w.WriteHeader(status)
		return
	}
	_, _ = io.WriteString(w, b.node)
}

func (b *backend) answer(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

// hang makes requests wait.
func (b *backend) hang(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case on && b.hangs == nil:
		b.hangs = make(chan struct{})
	case !on && b.hangs != nil:
		close(b.hangs)
		b.hangs = nil
	}
}

// kill ends it as the end of a process does.
func (b *backend) kill() {
	_ = b.listener.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close()
	}
}

// vanish makes its sockets drop every packet unseen, as if the machine had lost its power.
func (b *backend) vanish(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	deafen(t, b.listener)
	for _, conn := range b.conns {
		deafen(t, conn)
	}
}

// deafen makes the kernel drop what arrives for a socket before TCP sees it: a BPF program that accepts no byte.
func deafen(t testing.TB, socket syscall.Conn) {
	t.Helper()
	raw, err := socket.SyscallConn()
	if err != nil {
		return // closed already
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := &unix.SockFprog{Len: 1, Filter: &nothing[0]}
	failure := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	})
	if failure == nil && err != nil {
		t.Fatal(err)
	}
}

func (b *backend) server() endpoint.Server {
	return endpoint.Server{Node: b.node, Addresses: []netip.AddrPort{b.address}}
}
