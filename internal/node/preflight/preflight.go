// Package preflight turns facts about a machine into named findings that say what must be mended before anything is changed.
// Used by the host steps of init.
package preflight

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/host"
)

// Check is one named check of a machine; its error names the fix.
type Check struct {
	Name string
	Run  func(host.Facts) error
}

// Checks lists the checks in the order in which they are reported.
func Checks() []Check {
	return []Check{
		{"root", func(f host.Facts) error {
			if f.Root {
				return nil
			}
			return errors.New("gardenadm changes the whole machine: run it as root")
		}},
		{"systemd", func(f host.Facts) error {
			if f.Systemd {
				return nil
			}
			return errors.New("systemd is not this machine's init system, or does not answer on D-Bus")
		}},
		{"architecture", func(f host.Facts) error {
			if f.Architecture == "amd64" || f.Architecture == "arm64" {
				return nil
			}
			return fmt.Errorf("%s is not supported: use a machine of amd64 or arm64", f.Architecture)
		}},
		{"kernel", checkKernel},
		{"host-name", checkHostName},
	}
}

// All runs every check and reports all failures together.
func All(facts host.Facts) error {
	var errs []error
	for _, check := range Checks() {
		if err := check.Run(facts); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", check.Name, err))
		}
	}
	return errors.Join(errs...)
}

// checkKernel: kube-proxy's nftables mode needs Linux 5.13.
func checkKernel(f host.Facts) error {
	parts := strings.SplitN(f.Kernel, ".", 3)
	if len(parts) < 2 {
		return fmt.Errorf("kernel release %q is not understood", f.Kernel)
	}
	major, majorErr := strconv.Atoi(parts[0])
	minor, minorErr := strconv.Atoi(strings.TrimRightFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' }))
	if majorErr != nil || minorErr != nil {
		return fmt.Errorf("kernel release %q is not understood", f.Kernel)
	}
	if major > 5 || major == 5 && minor >= 13 {
		return nil
	}
	return fmt.Errorf("release %s is too old: kube-proxy's nftables mode needs 5.13 or newer", f.Kernel)
}

// checkHostName: the lower-cased host name becomes the Node's name.
func checkHostName(f host.Facts) error {
	name := strings.ToLower(f.HostName)
	if name == "" || name == "localhost" {
		return fmt.Errorf("the host name is %q: give this machine a name of its own (hostnamectl set-hostname NAME)", f.HostName)
	}
	for _, label := range strings.Split(name, ".") {
		if !validLabel(label) {
			return fmt.Errorf("the host name %q cannot be a Node's name: use letters, digits and hyphens", f.HostName)
		}
	}
	return nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
