package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
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

func TestForwardsToTheLocalServer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	own, other := newBackend(t, a, "cp-1"), newBackend(t, a, "cp-2")
	p := run(t, Options{Node: "cp-1", Local: own.address, Authorities: a.pool}, defaultTiming(), own, other)
	for range 5 {
		c := client(a, p.address) // verifies the server's certificate through the proxy
		if got, err := get(c); err != nil || got != "cp-1" {
			t.Errorf("got %q, %v", got, err)
		}
		c.CloseIdleConnections()
	}
	own.kill()
	c := client(a, p.address)
	defer c.CloseIdleConnections()
	if got, err := get(c); err != nil || got != "cp-2" {
		t.Errorf("without the local server: got %q, %v", got, err)
	}
}

func TestTriesAllWhenNoneIsReady(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	down, sick, foreign := newBackend(t, a, "cp-1"), newBackend(t, a, "cp-2"), newBackend(t, newAuthority(t), "cp-3")
	down.kill()
	sick.answer(http.StatusInternalServerError)
	p := run(t, Options{Authorities: a.pool}, defaultTiming(), down, sick, foreign)
	eventually(t, "all are known to be bad", func() bool {
		return healthOf(p.Proxy, down).Health == Dead && healthOf(p.Proxy, sick).Health == Unready && healthOf(p.Proxy, foreign).Health == Dead
	})
	if reason := healthOf(p.Proxy, foreign).Reason; !strings.Contains(reason, "certificate") {
		t.Errorf("a stranger at the address of an API server: %q", reason)
	}
	c := client(a, p.address)
	defer c.CloseIdleConnections()
	if got, err := get(c); err != nil || got != "cp-2" {
		t.Errorf("got %q, %v", got, err)
	}
	sick.kill()
	foreign.kill()
	if err := attempt(p.address, "hello"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("with nobody there: got %v, want a reset", err)
	}
	eventually(t, "the client is counted as lost", func() bool { return p.State().Lost == 1 })
}

func TestConnectionsOfADeadServerAreReset(t *testing.T) {
	for name, die := range map[string]func(testing.TB, *backend){
		"hung":      func(_ testing.TB, b *backend) { b.hang(true) },
		"power cut": func(t testing.TB, b *backend) { b.vanish(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			one, two := newBackend(t, a, "cp-1"), newBackend(t, a, "cp-2")
			p := run(t, Options{Node: "cp-1", Local: one.address, Authorities: a.pool}, defaultTiming(), one, two)
			eventually(t, "both are ready", func() bool {
				return healthOf(p.Proxy, one).Health == Ready && healthOf(p.Proxy, two).Health == Ready
			})
			conn := dial(t, p.address)
			if err := echo(conn, "hello"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			die(t, one)
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
			t.Logf("reset after %s", time.Since(began).Round(time.Millisecond))
			c := client(a, p.address)
			defer c.CloseIdleConnections()
			if got, err := get(c); err != nil || got != "cp-2" {
				t.Errorf("got %q, %v", got, err)
			}
			if got := healthOf(p.Proxy, one); got.Health != Dead || got.Resets != 1 || got.Connections != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// One connection loses its way, the server is fine: only that connection is reset.
func TestConnectionThatNobodyAcknowledgesIsReset(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	one.raw = func(in io.Reader, conn *net.TCPConn) {
		first := make([]byte, 4)
		_, _ = io.ReadFull(in, first)
		if string(first) == "deaf" {
			deafen(t, conn)
		}
		_, _ = conn.Write(first)
		_, _ = io.Copy(conn, in)
	}
	timing := defaultTiming()
	timing.silence = 500 * time.Millisecond
	p := run(t, Options{Authorities: a.pool}, timing, one)
	eventually(t, "it is ready", func() bool { return healthOf(p.Proxy, one).Health == Ready })
	good, bad := dial(t, p.address), dial(t, p.address)
	if err := errors.Join(echo(good, "good"), echo(bad, "deaf")); err != nil {
		t.Fatal(err)
	}
	if err := echo(bad, "anybody there?"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
	if err := echo(good, "and you?"); err != nil {
		t.Error(err)
	}
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	one.raw = func(in io.Reader, conn *net.TCPConn) {
		all, _ := io.ReadAll(in) // until the client is done
		_, _ = conn.Write(bytes.ToUpper(all))
		_ = conn.Close()
	}
	p := run(t, Options{Authorities: a.pool}, defaultTiming(), one)
	conn := dial(t, p.address)
	_, _ = io.WriteString(conn, "question")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "QUESTION" {
		t.Errorf("got %q, %v", got, err)
	}
	eventually(t, "the connection is forgotten", func() bool { return p.State().Connections == 0 })
}

// pour sends n random bytes and hears them again; it compares their hashes.
func pour(conn *net.TCPConn, seed byte, n int64) error {
	stream := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n) }
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, stream())
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	want, got := sha256.New(), sha256.New()
	_, err := io.Copy(got, conn)
	_, _ = io.Copy(want, stream())
	if err == nil && !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		err = errors.New("what came back is not what was sent")
	}
	return errors.Join(err, <-sent)
}

func TestLargeTransfer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	p := run(t, Options{Authorities: a.pool}, defaultTiming(), one)
	var all sync.WaitGroup
	for seed := range byte(4) {
		conn := dial(t, p.address)
		all.Go(func() {
			if err := pour(conn, seed, 16<<20); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A server may take its time to read, as it does for an upload into a slow pod: it acknowledges, so it lives.
func TestSlowReaderIsNoDeadServer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	const size = 16 << 20
	one := newBackend(t, a, "cp-1")
	read := make(chan int64, 1)
	timing := defaultTiming()
	timing.silence, timing.tick = 300*time.Millisecond, 50*time.Millisecond
	one.raw = func(in io.Reader, conn *net.TCPConn) {
		time.Sleep(5 * timing.silence)
		n, _ := io.Copy(io.Discard, in)
		read <- n
	}
	p := run(t, Options{Authorities: a.pool}, timing, one)
	eventually(t, "it is ready", func() bool { return healthOf(p.Proxy, one).Health == Ready })
	conn := dial(t, p.address)
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	if got := <-read; got != size {
		t.Errorf("%d of %d bytes arrived", got, size)
	}
}

func TestListenersHaveRoomOfTheirOwn(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	host, pods := listen(t), listen(t)
	p := run(t, Options{Authorities: a.pool, Listeners: []net.Listener{host, pods}, Connections: 2}, defaultTiming(), one)
	var held []*net.TCPConn
	for range 2 {
		conn := dial(t, pods.Addr().String())
		if err := echo(conn, "pod"); err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	if err := attempt(pods.Addr().String(), "one too many"); err == nil {
		t.Error("a third connection got through")
	}
	if err := attempt(host.Addr().String(), "kubelet"); err != nil {
		t.Errorf("pods shut the kubelet out: %v", err)
	}
	if got := p.State(); got.Full != 1 {
		t.Errorf("got %+v", got)
	}
	held[0].Close()
	eventually(t, "there is room again", func() bool { return attempt(pods.Addr().String(), "pod") == nil })
}

func TestServerWithoutListEntryIsServedFromItsNode(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	own := newBackend(t, a, "cp-1")
	p := run(t, Options{Node: "cp-1", Local: own.address, Authorities: a.pool}, defaultTiming())
	if err := echo(dial(t, p.address), "hello"); err != nil {
		t.Error(err)
	}
	if got := p.State().Servers; len(got) != 1 || !got[0].Local {
		t.Errorf("got %+v", got)
	}
}

func TestNewListMovesNewConnections(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one, two := newBackend(t, a, "cp-1"), newBackend(t, a, "cp-2")
	p := run(t, Options{Authorities: a.pool}, defaultTiming(), one)
	old := dial(t, p.address)
	if err := echo(old, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Offer(t.Context(), list(2, two.server())); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(echo(dial(t, p.address), "new"), echo(old, "still here")); err != nil {
		t.Fatal(err)
	}
	if healthOf(p.Proxy, one).Connections != 1 || healthOf(p.Proxy, two).Connections != 1 {
		t.Errorf("got %+v", p.State())
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	first := listen(t)
	second := again(t, first) // as the next process gets it from systemd
	before := run(t, Options{Authorities: a.pool, Listeners: []net.Listener{first}}, defaultTiming(), one)
	old := dial(t, before.address)
	if err := echo(old, "hello"); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := before.Drain(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained with a connection open: %v", err)
	}
	waiting := dial(t, before.address) // in the kernel's queue, nobody accepts
	after := run(t, Options{Authorities: a.pool, Listeners: []net.Listener{second}}, defaultTiming(), one)
	if err := errors.Join(echo(waiting, "waited"), echo(old, "still here")); err != nil {
		t.Error(err)
	}
	old.Close()
	if err := before.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if before.State().Connections != 0 || after.State().Connections != 1 {
		t.Errorf("got %+v and %+v", before.State(), after.State())
	}
}

// filer is what can be passed to another process.
type filer interface{ File() (*os.File, error) }

// again is the same socket under another descriptor.
func again(t testing.TB, listener net.Listener) net.Listener {
	t.Helper()
	file, err := listener.(filer).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

// inOtherProcess passes a connection on as its descriptor, and closes it here.
func inOtherProcess(t testing.TB, conn *net.TCPConn) *net.TCPConn {
	t.Helper()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return out.(*net.TCPConn)
}

func TestHandOverCutsNoConnection(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	socket := listen(t)
	start := func(inherited []Pair) running {
		return run(t, Options{Authorities: a.pool, Listeners: []net.Listener{again(t, socket)}, Inherited: inherited}, defaultTiming(), one)
	}
	p := start(nil)
	idle, half := dial(t, p.address), dial(t, p.address)
	if err := errors.Join(echo(idle, "hello"), echo(half, "hello")); err != nil {
		t.Fatal(err)
	}
	var pouring sync.WaitGroup
	for seed := range byte(3) {
		conn := dial(t, p.address)
		pouring.Go(func() {
			if err := pour(conn, seed, 48<<20); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { pouring.Wait(); close(done) }()
	lives := 0
	for running := true; running; lives++ {
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
		pairs, err := p.HandOver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.stop()
		for i, pair := range pairs {
			pairs[i] = Pair{inOtherProcess(t, pair.Client), inOtherProcess(t, pair.Server)}
		}
		if p = start(pairs); lives == 0 {
			_ = half.CloseWrite()
		}
	}
	t.Logf("%d lives", lives)
	if lives < 3 {
		t.Errorf("only %d processes took part: pour more", lives)
	}
	if err := echo(idle, "still here"); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(half); err != nil || len(rest) != 0 {
		t.Errorf("after the half-close: %q, %v", rest, err)
	}
	idle.Close()
	eventually(t, "all is over", func() bool { return p.State().Connections == 0 })
}

func TestHandOverLeavesWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	one := newBackend(t, a, "cp-1")
	one.raw = func(io.Reader, *net.TCPConn) {} // never reads on
	p := run(t, Options{Authorities: a.pool}, defaultTiming(), one)
	stuck := dial(t, p.address)
	_ = stuck.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := stuck.Write(make([]byte, 64<<20)); err == nil {
		t.Fatal("the kernel takes 64 MiB: the connection is not stuck")
	}
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if pairs, err := p.HandOver(soon); err == nil || len(pairs) != 0 {
		t.Errorf("got %d pairs, %v", len(pairs), err)
	}
	p.stop()
	if _, err := io.Copy(io.Discard, stuck); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// sockets counts this process's.
func sockets(t *testing.T) int {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, descriptor := range descriptors {
		if target, _ := os.Readlink("/proc/self/fd/" + descriptor.Name()); strings.HasPrefix(target, "socket:") {
			count++
		}
	}
	return count
}

func TestNothingLeaks(t *testing.T) {
	goroutines, open := runtime.NumGoroutine(), sockets(t)
	t.Run("life", func(t *testing.T) {
		a := newAuthority(t)
		one, two := newBackend(t, a, "cp-1"), newBackend(t, a, "cp-2")
		p := run(t, Options{Node: "cp-1", Local: one.address, Authorities: a.pool}, defaultTiming(), one, two)
		eventually(t, "both are ready", func() bool { return healthOf(p.Proxy, one).Health == Ready && healthOf(p.Proxy, two).Health == Ready })
		for i := range 60 {
			conn := dial(t, p.address)
			_ = echo(conn, "hello")
			switch i % 3 {
			case 0:
				conn.Close()
			case 1:
				abort(conn)
			}
			if i == 40 {
				one.kill()
			}
		}
		p.stop()
		if got := p.State(); got.Connections != 0 {
			t.Errorf("%d connections are left after the end", got.Connections)
		}
	})
	eventually(t, "goroutines and sockets are as before", func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= goroutines && sockets(t) <= open
	})
}
