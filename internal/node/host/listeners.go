package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// socket is a line of /proc/net/tcp and the like.
type socket struct {
	Listener
	inode string
}

func (inspector) Listeners(ctx context.Context, ports ...int) ([]Listener, error) {
	var sockets []socket
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("list listeners: %w", err)
		}
		content, err := os.ReadFile("/proc/net/" + table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list listeners: %w", err)
		}
		sockets = append(sockets, listening(content, table[:3], ports)...)
	}
	if len(sockets) == 0 {
		return nil, nil
	}
	owners := socketOwners(ctx)
	found := make([]Listener, 0, len(sockets))
	for _, one := range sockets {
		if pid := owners[one.inode]; pid != 0 {
			one.PID, one.Program = pid, programOf(pid)
		}
		found = append(found, one.Listener)
	}
	slices.SortStableFunc(found, func(a, b Listener) int { return cmp.Compare(a.Address.Port(), b.Address.Port()) })
	return found, nil
}

// listening reads the lines of a table whose local port is wanted: of TCP those that listen, of UDP all. What it does not
// understand is passed over.
func listening(table []byte, network string, ports []int) []socket {
	const tcpListen, inodeField = "0A", 9
	var found []socket
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) <= inodeField || network == "tcp" && fields[3] != tcpListen {
			continue
		}
		address, valid := procAddress(fields[1])
		if valid && slices.Contains(ports, int(address.Port())) {
			found = append(found, socket{Listener{Network: network, Address: address}, fields[inodeField]})
		}
	}
	return found
}

// procAddress reads 0100007F:192B: the address in words of four bytes in the machine's order, the port as a number.
func procAddress(text string) (netip.AddrPort, bool) {
	words, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(words)
	port, portErr := strconv.ParseUint(portText, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	address, valid := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), valid
}

// socketOwners maps sockets' inodes to the first process that has them. Processes come and go meanwhile, so errors count as "not seen".
func socketOwners(ctx context.Context) map[string]int {
	owners := map[string]int{}
	processes, _ := os.ReadDir("/proc")
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil || ctx.Err() != nil {
			continue
		}
		dir := filepath.Join("/proc", process.Name(), "fd")
		descriptors, _ := os.ReadDir(dir)
		for _, descriptor := range descriptors {
			target, _ := os.Readlink(filepath.Join(dir, descriptor.Name()))
			inode, isSocket := strings.CutPrefix(target, "socket:[")
			inode = strings.TrimSuffix(inode, "]")
			if isSocket && owners[inode] == 0 {
				owners[inode] = pid
			}
		}
	}
	return owners
}

func programOf(pid int) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(name))
}
