package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// timeError is adjtimex's TIME_ERROR: the clock is not synchronised.
const timeError = 5

// prober looks at the real machine.
type prober struct{ units *units }

func (p prober) Probe(ctx context.Context) (Facts, error) {
	facts, err := p.probe(ctx)
	if err != nil {
		return Facts{}, fmt.Errorf("probe the host: %w", err)
	}
	return facts, nil
}

func (p prober) probe(ctx context.Context) (Facts, error) {
	if err := ctx.Err(); err != nil {
		return Facts{}, err
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return Facts{}, fmt.Errorf("ask for the kernel's name: %w", err)
	}
	var system unix.Sysinfo_t
	if err := unix.Sysinfo(&system); err != nil {
		return Facts{}, fmt.Errorf("ask for the memory: %w", err)
	}
	cgroup, err := cgroupVersion()
	if err != nil {
		return Facts{}, err
	}
	lowers, err := lowersOOMScore("/proc/self/oom_score_adj")
	if err != nil {
		return Facts{}, err
	}
	nameservers, err := nameserversOf("/etc/resolv.conf")
	if err != nil {
		return Facts{}, err
	}
	behindStub, err := nameserversOf("/run/systemd/resolve/resolv.conf")
	if err != nil {
		return Facts{}, err
	}
	return Facts{
		HostName:          unix.ByteSliceToString(uname.Nodename[:]),
		Architecture:      runtime.GOARCH,
		Kernel:            unix.ByteSliceToString(uname.Release[:]),
		CgroupVersion:     cgroup,
		Systemd:           p.systemd(ctx),
		LowersOOMScore:    lowers,
		Nameservers:       nameservers,
		SystemdResolvConf: len(behindStub) > 0,
		Root:              os.Geteuid() == 0,
		Memory:            uint64(system.Totalram) * uint64(system.Unit),
		CPUs:              runtime.NumCPU(),
		Now:               time.Now(),
		ClockSynchronised: clockSynchronised(),
	}, nil
}

// clockSynchronised only reads; where even that is refused, nobody can know.
func clockSynchronised() bool {
	var clock unix.Timex
	state, err := unix.Adjtimex(&clock)
	return err == nil && state != timeError && clock.Status&unix.STA_UNSYNC == 0
}

// systemd is booted when it made this directory (as sd_booted(3) tells), and answering is another thing.
func (p prober) systemd(ctx context.Context) bool {
	return exists("/run/systemd/system") && p.units.answers(ctx) == nil
}

// cgroupVersion is 2 only when the hierarchy itself is version 2: a hybrid one has its controllers in version 1.
func cgroupVersion() (int, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &stat); err != nil {
		return 0, fmt.Errorf("look at /sys/fs/cgroup: %w", err)
	}
	if stat.Type == unix.CGROUP2_SUPER_MAGIC {
		return 2, nil
	}
	return 1, nil
}

// lowersOOMScore tries on this process itself and puts the score back; giving back a higher score is always allowed.
func lowersOOMScore(path string) (lowers bool, err error) {
	was, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read own oom_score_adj: %w", err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(was)))
	if err != nil {
		return false, fmt.Errorf("read own oom_score_adj: %w", err)
	}
	// One below what it is, so that a score that is negative already does not pass for a permission.
	lower := max(min(score-1, -1), -1000)
	if err := os.WriteFile(path, []byte(strconv.Itoa(lower)), 0); err != nil {
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return false, nil
		}
		return false, fmt.Errorf("try a lower oom_score_adj: %w", err)
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(score)), 0); err != nil {
		return false, fmt.Errorf("put back own oom_score_adj: %w", err)
	}
	return true, nil
}

// nameserversOf reads the nameservers; a missing file has none.
func nameserversOf(path string) ([]netip.Addr, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read nameservers: %w", err)
	}
	return nameservers(content), nil
}

// nameservers returns the addresses of resolv.conf(5); lines that it does not understand are passed over, as the resolver does.
func nameservers(content []byte) []netip.Addr {
	var found []netip.Addr
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil {
			found = append(found, address)
		}
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
