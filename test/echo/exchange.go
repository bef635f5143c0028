package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

// mirror sends back what it is sent, by TCP and by UDP, until ctx ends.
func mirror(ctx context.Context) error {
	streams, err := net.Listen("tcp", mirrors)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	packets, err := net.ListenPacket("udp", mirrors)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	context.AfterFunc(ctx, func() { streams.Close(); packets.Close() })
	go func() {
		for {
			stream, err := streams.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(stream, stream); stream.Close() }() //nolint:errcheck // the other side finds out
		}
	}()
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			packets.WriteTo(buffer[:n], from) //nolint:errcheck // the other side finds out
		}
	}()
	return nil
}

// exchange sends that many bytes, as one packet that nobody may cut when it is UDP, and wants them back.
func exchange(ctx context.Context, network, address, size string, out io.Writer) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return fmt.Errorf("read size: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return whole(network, raw) }}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err // says network, address and cause
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	sent := bytes.Repeat([]byte("gardenadm "), n/10+1)[:n]
	written := make(chan error, 1)
	go func() { // while it is read: what comes back fills the buffers
		_, err := conn.Write(sent)
		if err != nil {
			conn.Close()
		}
		written <- err
	}()
	back := make([]byte, n)
	if _, err := io.ReadFull(conn, back); err != nil {
		return fmt.Errorf("exchange %d bytes: %w", n, errors.Join(<-written, err))
	}
	if !bytes.Equal(sent, back) {
		return errors.New("something else comes back")
	}
	fmt.Fprintf(out, "%d bytes came back\n", n)
	return nil
}

// whole forbids that a packet is cut on its way.
func whole(network string, raw syscall.RawConn) error {
	if network != "udp" {
		return nil
	}
	var refused error
	err := raw.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO)
	})
	return errors.Join(err, refused)
}
