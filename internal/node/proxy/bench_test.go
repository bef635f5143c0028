package proxy

import (
	"io"
	"net"
	"testing"
	"time"
)

// ways are the two ways to a server: without the proxy and through it.
func ways(b *testing.B, raw func(io.Reader, *net.TCPConn), bench func(b *testing.B, address string)) {
	a := newAuthority(b)
	one := newBackend(b, a, "cp-1")
	if raw != nil {
		one.raw = raw
	}
	p := run(b, Options{Authorities: a.pool}, defaultTiming(), one)
	eventually(b, "it is ready", func() bool { return healthOf(p.Proxy, one).Health == Ready })
	b.Run("direct", func(b *testing.B) { bench(b, one.address.String()) })
	b.Run("proxy", func(b *testing.B) { bench(b, p.address) })
}

// BenchmarkRoundTrip is a small question and its answer on an open connection.
func BenchmarkRoundTrip(b *testing.B) {
	ways(b, nil, func(b *testing.B, address string) {
		conn := dial(b, address)
		_ = conn.SetDeadline(time.Time{})
		text := string(make([]byte, 200))
		for b.Loop() {
			if err := echo(conn, text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkConnect is a connection for one question and its answer.
func BenchmarkConnect(b *testing.B) {
	ways(b, nil, func(b *testing.B, address string) {
		for b.Loop() {
			if err := attempt(address, "hello"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDownload is a stream from the server.
func BenchmarkDownload(b *testing.B) {
	chunk := make([]byte, 1<<20)
	send := func(in io.Reader, conn *net.TCPConn) {
		for {
			if _, err := conn.Write(chunk); err != nil {
				return
			}
		}
	}
	ways(b, send, func(b *testing.B, address string) {
		conn := dial(b, address)
		_ = conn.SetDeadline(time.Time{})
		_, _ = io.WriteString(conn, "go")
		b.SetBytes(int64(len(chunk)))
		into := make([]byte, len(chunk))
		for b.Loop() {
			if _, err := io.ReadFull(conn, into); err != nil {
				b.Fatal(err)
			}
		}
	})
}
