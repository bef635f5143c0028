package proxy

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// retries is how many retransmissions in a row must have stayed without an answer: at least a second of silence while
// data was on its way, however old the last acknowledgement is.
const retries = 3

// tune makes the kernel notice a peer that vanishes while a connection is idle. TCP_USER_TIMEOUT is left alone: it also
// ends connections whose peer acknowledges everything but does not read for a while, such as an upload into a slow pod.
func tune(conn *net.TCPConn) {
	// Fails only on a connection that is already broken, which the first read tells.
	_ = conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3})
}

// abort closes with a reset, so that the peer knows at once that nothing will come any more.
func abort(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// vanished says that the peer's kernel has not acknowledged data for that long. A closed window is no silence.
func vanished(conn *net.TCPConn, silence time.Duration) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return false
	}
	return info.Unacked > 0 && info.Retransmits >= retries && time.Duration(info.Last_ack_recv)*time.Millisecond >= silence
}
