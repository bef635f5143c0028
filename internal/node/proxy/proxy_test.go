package proxy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestForwardsToTheLocalServer(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	own, other := newBackend(t, a, "cp-1"), newBackend(t, a, "cp-2")
	patient := defaultTiming() // a busy machine makes nobody look dead
	patient.connect, patient.answer, patient.confirm, patient.dial = time.Minute, time.Minute, time.Minute, time.Minute
	p := run(t, Options{Node: "cp-1", Local: own.address, Authorities: a.pool}, patient, own, other)
	// Until it is known, another one that is known to be ready comes first.
	eventually(t, "the local server is known", func() bool { return healthOf(p.Proxy, own).Health == Ready })
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
