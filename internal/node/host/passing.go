package host

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// send puts copies of the connections, at most 255, into the socket, in one message that says how many they are.
func send(socket int, connections []*net.TCPConn) error {
	var copies []int
	defer func() {
		for _, descriptor := range copies {
			_ = unix.Close(descriptor)
		}
	}()
	for _, connection := range connections {
		descriptor, err := duplicate(connection)
		if err != nil {
			return err
		}
		copies = append(copies, descriptor)
	}
	return unix.Sendmsg(socket, []byte{byte(len(copies))}, unix.UnixRights(copies...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

func duplicate(connection *net.TCPConn) (descriptor int, err error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0, err
	}
	failure := raw.Control(func(fd uintptr) { descriptor, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	return descriptor, errors.Join(failure, err)
}

// receive takes all connections out of a socket to which nobody sends any more, or none: who left them relies on their order.
func receive(file *os.File) ([]*net.TCPConn, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var connections []*net.TCPConn
	failure := raw.Control(func(fd uintptr) {
		for err == nil {
			var some []*net.TCPConn
			some, err = receiveOne(int(fd))
			connections = append(connections, some...)
		}
	})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(failure, err); err == nil {
		return connections, nil
	}
	for _, connection := range connections {
		_ = connection.Close()
	}
	return nil, err
}

// receiveOne takes the connections of one message; io.EOF after the last one.
func receiveOne(socket int) ([]*net.TCPConn, error) {
	count, control := make([]byte, 1), make([]byte, unix.CmsgSpace(4*keptAtOnce))
	n, controls, _, _, err := unix.Recvmsg(socket, count, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	switch {
	case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
		return nil, io.EOF
	case err != nil:
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return nil, err
	}
	var connections []*net.TCPConn
	var errs []error
	for _, message := range messages {
		descriptors, err := unix.ParseUnixRights(&message)
		errs = append(errs, err)
		for _, descriptor := range descriptors {
			connection, err := connectionOf(descriptor)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			connections = append(connections, connection)
		}
	}
	// The kernel leaves out what this process has no room for.
	if wanted := int(count[0]); len(connections) != wanted {
		errs = append(errs, fmt.Errorf("%d of %d connections came through", len(connections), wanted))
	}
	return connections, errors.Join(errs...)
}

// connectionOf takes the descriptor over.
func connectionOf(descriptor int) (*net.TCPConn, error) {
	file := os.NewFile(uintptr(descriptor), "")
	defer file.Close() //nolint:errcheck // a copy is in use
	connection, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	tcp, isTCP := connection.(*net.TCPConn)
	if !isTCP {
		return nil, errors.Join(fmt.Errorf("%T is no connection over TCP", connection), connection.Close())
	}
	return tcp, nil
}
