package hosttest

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// checkService takes each Take for that of the next process.
func checkService(t *testing.T, h *host.Host, _ string) {
	ctx := t.Context()
	if err := h.Service.Ready(ctx); err != nil {
		t.Error(err)
	}
	near, far := flows(t, 3)
	if err := h.Service.Keep(ctx, near); err != nil {
		t.Fatal(err)
	}
	for _, conn := range near {
		conn.Close()
	}
	taken := got[host.Inheritance](t)(h.Service.Take(ctx))
	if len(taken.Connections) != len(near) || len(taken.Listeners) > 0 {
		t.Fatalf("took %+v, want %d connections", taken, len(near))
	}
	for i, conn := range taken.Connections {
		t.Cleanup(func() { conn.Close() })
		heard := make([]byte, 1)
		_, writing := conn.Write([]byte{byte(i)})
		_, reading := io.ReadFull(far[i], heard)
		if err := errors.Join(writing, reading); err != nil || heard[0] != byte(i) {
			t.Errorf("connection %d says %d (%v): want them whole and in order", i, heard, err)
		}
	}
	if again := got[host.Inheritance](t)(h.Service.Take(ctx)); len(again.Connections) > 0 {
		t.Errorf("taken twice: %+v", again)
	}
	cancelled(t,
		func(ctx context.Context) error { return h.Service.Ready(ctx) },
		func(ctx context.Context) error { return h.Service.Keep(ctx, taken.Connections) })
}

// flows returns both ends of n connections over TCP.
func flows(t *testing.T, n int) (near, far []*net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for range n {
		dialled, dialling := net.Dial("tcp", listener.Addr().String())
		accepted, accepting := listener.Accept()
		if err := errors.Join(dialling, accepting); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dialled.Close(); accepted.Close() })
		near, far = append(near, dialled.(*net.TCPConn)), append(far, accepted.(*net.TCPConn))
	}
	return near, far
}
