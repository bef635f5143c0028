package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

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
	var coming sync.WaitGroup
	coming.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := attempt(socket.Addr().String(), "new"); err != nil {
				t.Errorf("a new client: %v", err)
				return
			}
		}
	})
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
	coming.Wait()
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
	one.raw = func(_ io.Reader, conn *net.TCPConn) { _ = conn.SetReadBuffer(4096) } // never reads on
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
