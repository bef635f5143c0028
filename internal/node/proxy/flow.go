package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// An interrupted direction waits so long for the other one to rest too, then goes on for a shorter time: one that cannot
// write what it has read may wait for a receiver that itself waits to be read.
const (
	meeting = 20 * time.Millisecond
	goingOn = 10 * time.Millisecond
)

// flow is one connection of a client and the one to a server that it leads to. It knows nothing of what they say.
type flow struct {
	client, server *net.TCPConn
	meet, over     chan struct{} // where two resting directions meet; closed when one is done
}

func newFlow(client, server *net.TCPConn) *flow {
	return &flow{client, server, make(chan struct{}), make(chan struct{})}
}

// ending is why a flow's copying ended.
type ending int

const (
	// closed: both sides said that they are done.
	closed ending = iota
	// interrupted: nobody is gone and nothing is lost; the copying may go on, also in another process.
	interrupted
	// broken: one side is gone, and the other one was reset.
	broken
)

// run copies in both directions until both are done or one breaks. The kernel moves the bytes, and a side that does not
// read holds up the other one. Unless interrupted, both connections are closed when it returns.
func (f *flow) run() ending {
	var back ending
	var both sync.WaitGroup
	over := sync.OnceFunc(func() { close(f.over) })
	both.Go(func() { defer over(); back = f.forward(f.client, f.server) })
	there := f.forward(f.server, f.client)
	over()
	both.Wait()
	out := max(there, back)
	if out == closed {
		_ = f.client.Close()
		_ = f.server.Close()
	}
	return out
}

// forward copies one direction. When from is done, to is told so, and may still talk back.
func (f *flow) forward(to, from *net.TCPConn) ending {
	for {
		_, err := io.Copy(to, from)
		if err == nil {
			err = to.CloseWrite()
		}
		switch {
		case err == nil, errors.Is(err, syscall.ENOTCONN):
			// Not connected: a process before us told it already, or it was reset, which the other direction finds.
			return closed
		case !expired(err):
			f.abort()
			return broken
		case f.rest(from):
			return interrupted
		}
	}
}

// expired says that it is our own deadline for reading that ended a copy. Bytes that were read have been written then. The
// kernel's time-out, which is an Errno, means that the connection is gone.
func expired(err error) bool {
	var timeout net.Error
	var system syscall.Errno
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.As(err, &system)
}

// rest says that the other direction rests too; else this one has to go on for a while.
func (f *flow) rest(from *net.TCPConn) bool {
	select {
	case f.meet <- struct{}{}:
		return true
	case <-f.meet:
		return true
	case <-f.over:
		return true
	case <-time.After(meeting):
		_ = from.SetReadDeadline(time.Now().Add(goingOn))
		return false
	}
}

// interrupt makes run return as soon as what was read is written.
func (f *flow) interrupt() {
	past := time.Unix(1, 0)
	_ = f.client.SetReadDeadline(past)
	_ = f.server.SetReadDeadline(past)
}

// resume undoes interrupt.
func (f *flow) resume() {
	_ = f.client.SetReadDeadline(time.Time{})
	_ = f.server.SetReadDeadline(time.Time{})
}

// abort resets both sides.
func (f *flow) abort() {
	abort(f.client)
	abort(f.server)
}
