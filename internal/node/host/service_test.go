package host

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// systemdFake is as much of systemd as keeps descriptors for the next process.
type systemdFake struct {
	socket string

	mu       sync.Mutex
	messages []string
	stored   []*os.File
}

func newSystemdFake(t *testing.T) *systemdFake {
	t.Helper()
	fake := &systemdFake{socket: filepath.Join(t.TempDir(), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: fake.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for fake.read(conn) == nil {
		}
	})
	t.Cleanup(func() { conn.Close(); done.Wait() })
	return fake
}

func (f *systemdFake) read(conn *net.UnixConn) error {
	text, control := make([]byte, 4096), make([]byte, 1024)
	n, controls, _, _, err := conn.ReadMsgUnix(text, control)
	if err != nil {
		return err
	}
	message := string(text[:n])
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = append(f.messages, strings.ReplaceAll(message, "\n", " "))
	parsed, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return err
	}
	for _, one := range parsed {
		descriptors, err := unix.ParseUnixRights(&one)
		if err != nil {
			return err
		}
		for _, descriptor := range descriptors {
			if strings.HasPrefix(message, "FDSTORE=1\n") {
				f.stored = append(f.stored, os.NewFile(uintptr(descriptor), keptName))
			} else if err := unix.Close(descriptor); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *systemdFake) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.messages)
}

// process is the door of a process that systemd starts with what it has, and these sockets.
func (f *systemdFake) process(sockets ...*os.File) service {
	return service{notify: f.socket, passed: func() []*os.File {
		f.mu.Lock()
		defer f.mu.Unlock()
		out := append(sockets, f.stored...)
		sockets, f.stored = nil, nil
		return out
	}}
}

// ServiceOfTest is the real door, with a systemd that is none.
func ServiceOfTest(t *testing.T) Service { return newSystemdFake(t).process() }

// connect returns both ends of n connections over TCP.
func connect(t *testing.T, n int) (near, far []*net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for range n {
		dialled, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dialled.Close(); accepted.Close() })
		near, far = append(near, dialled.(*net.TCPConn)), append(far, accepted.(*net.TCPConn))
	}
	return near, far
}

func TestConnectionsOutliveTheProcess(t *testing.T) {
	const many = 2*keptAtOnce + 3 // more than fit into two messages
	systemd, ctx := newSystemdFake(t), t.Context()
	near, far := connect(t, many)
	first := systemd.process()
	if err := errors.Join(first.Ready(ctx), first.Keep(ctx, near)); err != nil {
		t.Fatal(err)
	}
	for _, conn := range near {
		conn.Close()
	}
	second := systemd.process()
	taken, err := second.Take(ctx)
	if err != nil || len(taken.Connections) != many {
		t.Fatalf("%d connections came through (%v), want %d", len(taken.Connections), err, many)
	}
	for i, conn := range taken.Connections {
		t.Cleanup(func() { conn.Close() })
		if _, err := conn.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1)
		if _, err := io.ReadFull(far[i], got); err != nil || !bytes.Equal(got, []byte{byte(i)}) {
			t.Fatalf("connection %d says %d (%v): the order is another one", i, got, err)
		}
	}
	if again, err := second.Take(ctx); err != nil || len(again.Connections) > 0 {
		t.Errorf("taken twice: %+v (%v)", again, err)
	}
	if err := second.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"READY=1", "FDSTORE=1 FDNAME=connections FDPOLL=0", "BARRIER=1", "FDSTOREREMOVE=1 FDNAME=connections"}
	got := systemd.told()
	for ; len(got) < len(want) && t.Context().Err() == nil; got = systemd.told() {
		time.Sleep(time.Millisecond) // it reads what it is told in its own time
	}
	if !slices.Equal(got[:len(want)], want) {
		t.Errorf("systemd was told %q, want %q", got, want)
	}
}

func TestTakeGivesListeners(t *testing.T) {
	systemd, ctx := newSystemdFake(t), t.Context()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	taken, err := systemd.process(file).Take(ctx)
	if err != nil || len(taken.Listeners) != 1 || taken.Listeners[0].Addr().String() != listener.Addr().String() {
		t.Fatalf("got %+v (%v), want the listener on %s", taken, err, listener.Addr())
	}
	taken.Listeners[0].Close()
}

// What is no whole message of connections is none: a wrong order would connect clients with each other's servers.
func TestTakeGivesAllConnectionsOrNone(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, _ := connect(t, 2)
	if err := send(ends[0], near); err != nil {
		t.Fatal(err)
	}
	short, err := duplicate(near[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(ends[0], []byte{2}, unix.UnixRights(short), nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Close(short), unix.Close(ends[0])); err != nil {
		t.Fatal(err)
	}
	systemd := newSystemdFake(t)
	systemd.stored = []*os.File{os.NewFile(uintptr(ends[1]), keptName)}
	taken, err := systemd.process().Take(t.Context())
	if err == nil || !strings.Contains(err.Error(), "1 of 2 connections came through") || len(taken.Connections) > 0 {
		t.Errorf("got %d connections (%v), want none", len(taken.Connections), err)
	}
}

func TestWithoutSystemd(t *testing.T) {
	s := service{passed: func() []*os.File { return nil }}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	near, _ := connect(t, 1)
	if err := s.Keep(t.Context(), near); err == nil {
		t.Error("nobody keeps the connection, and there is no error")
	}
}
