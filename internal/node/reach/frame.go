package reach

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
)

// nonce tells packets and answers of one request from all others.
type nonce [16]byte

func newNonce() nonce {
	var out nonce
	rand.Read(out[:]) //nolint:errcheck // never fails
	return out
}

// MarshalText writes it in hexadecimal.
func (n nonce) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, n[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *nonce) UnmarshalText(text []byte) error {
	raw, err := hex.AppendDecode(nil, text)
	if err != nil || len(raw) != len(n) {
		return fmt.Errorf("a nonce has %d hexadecimal digits", 2*len(n))
	}
	copy(n[:], raw)
	return nil
}

// hardware is the address of a link of Ethernet.
type hardware [6]byte

// MarshalText writes it with colons.
func (h hardware) MarshalText() ([]byte, error) { return []byte(net.HardwareAddr(h[:]).String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *hardware) UnmarshalText(text []byte) error {
	parsed, err := net.ParseMAC(string(text))
	if err != nil || len(parsed) != len(h) {
		return fmt.Errorf("%q is not the address of an Ethernet link", text)
	}
	copy(h[:], parsed)
	return nil
}

// Lengths of headers, in bytes.
const (
	headerIP       = 20
	headerUDP      = 8
	headerVXLAN    = 8
	headerEthernet = 14
	// inPacket is what an IP packet with UDP has around its payload, inOverlay what an overlay's has besides.
	inPacket  = headerIP + headerUDP
	inOverlay = headerVXLAN + headerEthernet + inPacket
)

// payload fills a UDP datagram so that its IP packet has the size.
func payload(n nonce, size int) []byte {
	out := make([]byte, size-inPacket)
	copy(out, n[:])
	return out
}

// sizeOf is the size of the IP packet that payload filled; false for a datagram of somebody else.
func sizeOf(n nonce, datagram []byte) (int, bool) {
	return len(datagram) + inPacket, bytes.HasPrefix(datagram, n[:])
}

// overlayPayload is the same through an overlay (RFC 7348): the datagram carries an Ethernet frame, which carries a datagram to the
// other machine's end of the overlay.
func overlayPayload(n nonce, size int, from netip.Addr, to overlay) []byte {
	inner := payload(n, size-inOverlay)
	out := make([]byte, 0, size-inPacket)
	out = append(out, 0x08, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, to.Network<<8)
	out = append(out, to.Link[:]...)
	out = append(out, 0x02, n[0], n[1], n[2], n[3], n[4]) // an address that nobody gave to a link
	out = append(out, 0x08, 0x00)
	out = appendIP(out, from, to.Address.Addr(), headerUDP+len(inner))
	out = binary.BigEndian.AppendUint16(out, to.Address.Port())
	out = binary.BigEndian.AppendUint16(out, to.Address.Port())
	out = binary.BigEndian.AppendUint16(out, uint16(headerUDP+len(inner)))
	out = append(out, 0, 0) // no checksum
	return append(out, inner...)
}

// appendIP appends a header of IPv4 for a packet of UDP.
func appendIP(out []byte, from, to netip.Addr, length int) []byte {
	header := make([]byte, headerIP)
	header[0] = 0x45
	binary.BigEndian.PutUint16(header[2:], uint16(headerIP+length))
	header[8], header[9] = 64, 17 // time to live, UDP
	copy(header[12:], from.AsSlice())
	copy(header[16:], to.AsSlice())
	var sum uint32
	for at := 0; at < headerIP; at += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[at:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum))
	return append(out, header...)
}
