package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

// checkFeatures uses each feature once.
func checkFeatures(ctx context.Context, s subject) (string, []Finding, error) {
	features := []host.Feature{host.FeatureNFTables, host.FeatureBridgeNetfilter, host.FeatureBridge, host.FeatureVeth, host.FeatureVXLAN}
	var names []string
	var findings []Finding
	for _, feature := range features {
		names = append(names, string(feature))
		if err := s.Inspector.Try(ctx, feature, layout.DirContainerd); err != nil {
			findings = append(findings, fail(fault.New(fault.KernelFeature, "%s does not work: %w", feature, err).
				Mend("modprobe %s, or install a kernel that has it", feature)))
		}
	}
	return strings.Join(names, ", "), findings, nil
}

func checkOverlay(ctx context.Context, s subject) (string, []Finding, error) {
	err := s.Inspector.Try(ctx, host.FeatureOverlay, layout.DirContainerd)
	if err != nil {
		return "", []Finding{fail(fault.New(fault.Overlay, "images cannot be laid over each other where %s will be: %w", layout.DirContainerd, err))}, nil
	}
	return "works where " + layout.DirContainerd + " will be", nil, nil
}

const dirCgroup = "/sys/fs/cgroup"

// checkCgroups looks for the controllers without which kubelet does not start.
func checkCgroups(ctx context.Context, s subject) (string, []Finding, error) {
	needed := []string{"cpu", "cpuset", "memory", "pids"}
	var have []string
	var findings []Finding
	if s.facts.CgroupVersion == 2 {
		raw, err := s.Files.Read(ctx, dirCgroup+"/cgroup.controllers")
		if err != nil {
			return "", nil, err
		}
		have = strings.Fields(string(raw))
	} else {
		// Version 1 mounts each controller on a directory of its own, with links for those that share one.
		mounted, err := s.Files.List(ctx, dirCgroup)
		if err != nil {
			return "", nil, err
		}
		have = mounted
		findings = append(findings, warn(fault.New(fault.OldCgroups, "the cgroup controllers are in version 1")))
	}
	missing := slices.DeleteFunc(slices.Clone(needed), func(name string) bool { return slices.Contains(have, name) })
	if len(missing) > 0 {
		findings = append(findings, fail(fault.New(fault.Cgroups, "the cgroup controllers %s are not there", strings.Join(missing, ", "))))
	}
	return fmt.Sprintf("version %d", s.facts.CgroupVersion), findings, nil
}

// checkSwap: the kubelet's failSwapOn is on unless the Shoot says otherwise.
func checkSwap(ctx context.Context, s subject) (string, []Finding, error) {
	raw, err := s.Files.Read(ctx, "/proc/swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return "the kernel has none", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	var swaps []string
	for _, line := range strings.Split(string(raw), "\n")[1:] {
		if fields := strings.Fields(line); len(fields) > 0 {
			swaps = append(swaps, fields[0])
		}
	}
	if len(swaps) == 0 {
		return "off", nil, nil
	}
	if s.SwapAllowed {
		return "on, and the Shoot allows it", nil, nil
	}
	return "", []Finding{fail(fault.New(fault.SwapOn, "swap is on: %s; kubelet would not start", strings.Join(swaps, ", ")))}, nil
}

// checkSecurityModule: AppArmor is fine, as containerd brings its own profile.
func checkSecurityModule(ctx context.Context, s subject) (string, []Finding, error) {
	enforcing, err := s.holds(ctx, "/sys/fs/selinux/enforce", "1")
	if err != nil {
		return "", nil, err
	}
	if enforcing {
		return "", []Finding{warn(fault.New(fault.SecurityModule, "SELinux is enforcing"))}, nil
	}
	profiles, err := s.holds(ctx, "/sys/module/apparmor/parameters/enabled", "Y")
	if err != nil {
		return "", nil, err
	}
	if profiles {
		return "AppArmor", nil, nil
	}
	return "none", nil, nil
}

// holds says whether a file begins with the text; a missing one does not.
func (s subject) holds(ctx context.Context, file, text string) (bool, error) {
	raw, err := s.Files.Read(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.HasPrefix(string(raw), text), err
}

// there says whether something is at the path.
func (s subject) there(ctx context.Context, path string) (bool, error) {
	_, err := s.Files.Stat(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// names lists a directory; a missing one has none.
func (s subject) names(ctx context.Context, dir string) ([]string, error) {
	names, err := s.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// firstFile returns the first thing below dir that is not a directory, "" when there is none: packages leave empty trees.
// It only lists, because an etcd's database is too big to be read for it.
func (s subject) firstFile(ctx context.Context, dir string) (string, error) {
	names, err := s.names(ctx, dir)
	if errors.Is(err, syscall.ENOTDIR) {
		return dir, nil
	}
	for _, name := range names {
		if found, err := s.firstFile(ctx, path.Join(dir, name)); found != "" || err != nil {
			return found, err
		}
	}
	return "", err
}
