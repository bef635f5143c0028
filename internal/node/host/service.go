package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Service is what systemd does for the service that this process is.
type Service interface {
	// Take returns the listeners of the unit's socket, and the connections that the process before left with Keep. It gives them
	// once; a process that no socket unit started gets none. With an error, the rest is returned, but never some of the connections
	// that one Keep left.
	Take(ctx context.Context) (Inheritance, error)
	// Ready tells systemd that the service is up; without systemd it does nothing.
	Ready(ctx context.Context) error
	// Keep leaves the connections with systemd until the next process of the unit takes them; on a stop that no start follows,
	// systemd closes them. They stay open here, too, and are to be closed without a shutdown. The unit needs FileDescriptorStoreMax
	// and Type=notify. With an error, the first of them may be kept, an even number.
	Keep(ctx context.Context, connections []*net.TCPConn) error
}

// Inheritance is what a process has from systemd.
type Inheritance struct {
	// Listeners are in the order of the socket unit.
	Listeners []net.Listener
	// Connections are in the order in which they were left.
	Connections []*net.TCPConn
}

const (
	// keptName names the one descriptor in systemd's store: a socket in which the connections wait. systemd compares each descriptor
	// that it stores with all that it has, so that thousands of them would keep it from its work for seconds.
	keptName = "connections"
	// keptAtOnce is how many descriptors go into a message: even, and no more than SCM_MAX_FD, which is 253.
	keptAtOnce = 252
)

// service is a service of the real systemd.
type service struct {
	passed func() []*os.File // the descriptors that systemd passed, once
	notify string            // the path of systemd's socket for messages; "" without systemd
}

func newService() service {
	return service{passed: func() []*os.File { return activation.Files(true) }, notify: os.Getenv("NOTIFY_SOCKET")}
}

func (s service) Take(ctx context.Context) (Inheritance, error) {
	var out Inheritance
	var errs []error
	for _, file := range s.passed() {
		if err := s.take(ctx, file, &out); err != nil {
			errs = append(errs, fmt.Errorf("take %s from systemd: %w", file.Name(), err))
		}
	}
	return out, errors.Join(errs...)
}

// take adds what the descriptor is, and closes it.
func (s service) take(ctx context.Context, file *os.File, into *Inheritance) error {
	defer file.Close() //nolint:errcheck // a copy is in use
	if file.Name() == keptName {
		connections, err := receive(file)
		into.Connections = append(into.Connections, connections...)
		return errors.Join(err, s.tell(ctx, nil, "FDSTOREREMOVE=1", "FDNAME="+keptName))
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return err
	}
	into.Listeners = append(into.Listeners, listener)
	return nil
}

func (s service) Ready(ctx context.Context) error {
	if s.notify == "" {
		return nil
	}
	return s.tell(ctx, nil, "READY=1")
}

func (s service) Keep(ctx context.Context, connections []*net.TCPConn) error {
	if err := s.keep(ctx, connections); err != nil {
		return fmt.Errorf("leave %d connections with systemd: %w", len(connections), err)
	}
	return nil
}

func (s service) keep(ctx context.Context, connections []*net.TCPConn) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ends[1]) //nolint:errcheck // systemd has its own
	for chunk := range slices.Chunk(connections, keptAtOnce) {
		if err = send(ends[0], chunk); err != nil {
			break
		}
	}
	err = errors.Join(err, unix.Close(ends[0]))
	// FDPOLL=0: systemd would throw away a socket whose other end is closed.
	return errors.Join(err, s.tell(ctx, []int{ends[1]}, "FDSTORE=1", "FDNAME="+keptName, "FDPOLL=0"), s.barrier(ctx))
}

// barrier waits until systemd has read all messages: it must know their sender when it does.
func (s service) barrier(ctx context.Context) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close() //nolint:errcheck // nothing is written
	defer context.AfterFunc(ctx, func() { _ = read.Close() })()
	err = s.tell(ctx, []int{int(write.Fd())}, "BARRIER=1")
	if err = errors.Join(err, write.Close()); err != nil {
		return err
	}
	// systemd closes its end, whether it knows barriers or not.
	if _, err := read.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("wait for systemd: %w", errors.Join(context.Cause(ctx), err))
	}
	return nil
}

// tell sends systemd a message, with descriptors.
func (s service) tell(ctx context.Context, descriptors []int, lines ...string) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket) //nolint:errcheck // nothing is buffered
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	err = ctx.Err()
	if err == nil {
		err = unix.Sendmsg(socket, []byte(strings.Join(lines, "\n")), rights, &unix.SockaddrUnix{Name: s.notify}, unix.MSG_NOSIGNAL)
	}
	if err != nil {
		return fmt.Errorf("tell systemd %s: %w", lines[0], err)
	}
	return nil
}
