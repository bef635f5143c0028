package preflight

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/internal/fault"
)

func checkRoot(_ context.Context, s subject) (string, []Finding, error) {
	if s.facts.Root {
		return "", nil, nil
	}
	return "", []Finding{fail(fault.New(fault.NotRoot, "gardenadm changes the whole machine"))}, nil
}

func checkSystemd(_ context.Context, s subject) (string, []Finding, error) {
	if s.facts.Systemd {
		return "", nil, nil
	}
	return "", []Finding{fail(fault.New(fault.NoSystemd, "systemd is not this machine's init system, or does not answer on D-Bus"))}, nil
}

func checkArchitecture(_ context.Context, s subject) (string, []Finding, error) {
	here := s.facts.Architecture
	switch {
	case here != "amd64" && here != "arm64":
		return "", []Finding{fail(fault.New(fault.Architecture, "%s is not supported", here))}, nil
	case s.Architecture != "" && here != s.Architecture:
		return "", []Finding{fail(fault.New(fault.OtherArchitecture, "this machine is %s, and the cluster's are %s", here, s.Architecture))}, nil
	}
	return here, nil, nil
}

// checkKernel: kube-proxy's nftables mode needs Linux 5.13.
func checkKernel(_ context.Context, s subject) (string, []Finding, error) {
	release := s.facts.Kernel
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return "", nil, fmt.Errorf("release %q is not understood", release)
	}
	major, majorErr := strconv.Atoi(parts[0])
	minor, minorErr := strconv.Atoi(leadingDigits(parts[1]))
	if majorErr != nil || minorErr != nil {
		return "", nil, fmt.Errorf("release %q is not understood", release)
	}
	if major > 5 || major == 5 && minor >= 13 {
		return release, nil, nil
	}
	return "", []Finding{fail(fault.New(fault.Kernel, "Linux %s is older than 5.13", release))}, nil
}

func leadingDigits(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return text
	}
	return text[:end]
}

func checkCPU(_ context.Context, s subject) (string, []Finding, error) {
	seen := strconv.Itoa(s.facts.CPUs)
	if s.facts.CPUs >= 2 {
		return seen, nil, nil
	}
	return seen, []Finding{warn(fault.New(fault.FewCPUs, "there is %d CPU, two are wanted", s.facts.CPUs))}, nil
}

// memory is what a role takes, in bytes. A "2 GB" machine shows less than 2 GiB, because its kernel and firmware keep some.
func (r Role) memory() (needed, wanted uint64) {
	if r == Worker {
		return 700 << 20, 900 << 20
	}
	return 1700 << 20, 1900 << 20
}

func checkMemory(_ context.Context, s subject) (string, []Finding, error) {
	seen := size(s.facts.Memory)
	needed, wanted := s.Role.memory()
	switch {
	case s.facts.Memory < needed:
		return seen, []Finding{fail(fault.New(fault.LittleMemory, "there are %s of memory, at least %s are needed", seen, size(needed)))}, nil
	case s.facts.Memory < wanted:
		return seen, []Finding{warn(fault.New(fault.LittleMemory, "there are %s of memory, %s are wanted", seen, size(wanted+100<<20)))}, nil
	}
	return seen, nil, nil
}

// checkHostName: the lower-cased host name becomes the Node's name and the value of its label kubernetes.io/hostname.
func checkHostName(_ context.Context, s subject) (string, []Finding, error) {
	name := strings.ToLower(s.facts.HostName)
	if name == "" || name == "localhost" || strings.HasPrefix(name, "localhost.") {
		return "", []Finding{fail(fault.New(fault.HostName, "the host name is %q: the machine needs one of its own", s.facts.HostName))}, nil
	}
	if len(name) > 63 {
		return "", []Finding{fail(fault.New(fault.HostName, "the host name %q has %d characters, a Node's name has 63 at most", s.facts.HostName, len(name)))}, nil
	}
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return "", []Finding{fail(fault.New(fault.HostName, "the host name %q cannot be a Node's name: use letters, digits and hyphens", s.facts.HostName))}, nil
		}
	}
	return name, nil, nil
}

func validLabel(label string) bool {
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// released is before any release of this program: a clock that shows less has never been set.
var released = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func checkClock(_ context.Context, s subject) (string, []Finding, error) {
	floor := released
	if s.NotBefore.After(floor) {
		floor = s.NotBefore
	}
	now := s.facts.Now.UTC()
	seen := now.Format("2006-01-02 15:04 MST")
	switch {
	case now.Before(floor):
		return seen, []Finding{fail(fault.New(fault.WrongClock, "the clock shows %s, but it is later than %s", seen, floor.UTC().Format("2006-01-02 15:04 MST")))}, nil
	case !s.facts.ClockSynchronised:
		return seen, []Finding{warn(fault.New(fault.ClockUnsynchronised, "nothing keeps the clock right; it shows %s", seen))}, nil
	}
	return seen + ", synchronised", nil, nil
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
