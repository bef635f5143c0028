package diagnosis

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// boundPort finds the port that a program could not listen on in what it says: "listen tcp 0.0.0.0:6443: bind: address already in use".
func boundPort(line string) int {
	found := regexp.MustCompile(`:(\d{2,5})\b[^:]*: (?:listen|bind|address already in use)`).FindStringSubmatch(line)
	if found == nil {
		return 0
	}
	port, err := strconv.Atoi(found[1])
	if err != nil {
		return 0
	}
	return port
}

// portOwner names who listens on a TCP port, "" when that cannot be seen.
func portOwner(ctx context.Context, h *host.Host, port int) string {
	inode := listenInode(ctx, h, port)
	if inode == "" {
		return ""
	}
	pids, err := h.Files.List(ctx, "/proc")
	if err != nil {
		return ""
	}
	for _, pid := range pids {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		open, err := h.Files.List(ctx, path.Join("/proc", pid, "fd"))
		if err != nil {
			continue
		}
		for _, fd := range open {
			info, err := h.Files.Stat(ctx, path.Join("/proc", pid, "fd", fd))
			if err != nil || info.Target != "socket:["+inode+"]" {
				continue
			}
			name, err := h.Files.Read(ctx, path.Join("/proc", pid, "comm"))
			if err != nil {
				return "pid " + pid
			}
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}

// listenInode finds the socket that listens on a port in the kernel's tables.
func listenInode(ctx context.Context, h *host.Host, port int) string {
	const listening = "0A"
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, err := h.Files.Read(ctx, table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				return fields[9]
			}
		}
	}
	return ""
}
