package reach

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connect dials, from an address of this machine unless it is the zero Addr.
func connect(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, Outcome) {
	dialer := net.Dialer{Timeout: dialPatience}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	return conn, outcomeOf(err)
}

func outcomeOf(err error) Outcome {
	var network net.Error
	switch {
	case err == nil:
		return Reached
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return TimedOut
	}
	return Unreachable
}

func readNonce(from io.Reader, into *nonce) bool {
	_, err := io.ReadFull(from, into[:])
	return err == nil
}

// openUDP opens a socket whose packets routers may or may not cut into pieces. Without, a packet that is longer than what an earlier
// one was told to be at most is sent all the same: it is the way itself that is measured.
func openUDP(ctx context.Context, at netip.AddrPort, m mode) (*net.UDPConn, error) {
	discover := unix.IP_PMTUDISC_PROBE
	if m == pieces {
		discover = unix.IP_PMTUDISC_DONT
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if outer := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover)
		}); outer != nil {
			return outer
		}
		return err
	}}
	conn, err := config.ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// shots is how often each size is sent: a single packet may be lost for no reason.
const shots = 3

// sendAll sends packets of all sizes, small ones first, and spreads them: a burst may overrun a buffer on the way. What this machine's own
// link or packet filter does not take is what does not arrive.
func sendAll(ctx context.Context, conn *net.UDPConn, to netip.AddrPort, sizes []int, fill func(size int) []byte) error {
	for range shots {
		for _, size := range slices.Backward(sizes) {
			_, err := conn.WriteToUDPAddrPort(fill(size), to)
			if err != nil && !lost(err) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func lost(err error) bool {
	return slices.ContainsFunc([]error{syscall.EMSGSIZE, syscall.EPERM, syscall.ECONNREFUSED}, func(one error) bool { return errors.Is(err, one) })
}

// hear passes on what arrives until ctx ends or all has come.
func hear(ctx context.Context, conn *net.UDPConn, got func(datagram []byte) (all bool)) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, largest)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && got(buffer[:n]) {
			return
		}
	}
}

// mtuTo is that of the link on which packets from this address leave; that of Ethernet when it is not to be seen.
func mtuTo(from netip.Addr) int {
	const ethernet = 1500
	links, err := net.Interfaces()
	if err != nil {
		return ethernet
	}
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil {
			continue
		}
		for _, one := range addresses {
			if prefix, err := netip.ParsePrefix(one.String()); err == nil && prefix.Addr().Unmap() == from {
				return link.MTU
			}
		}
	}
	return ethernet
}
