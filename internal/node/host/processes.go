package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running program. A number that the kernel gave to another one since is told apart by its start.
type Process struct {
	PID     int
	Started uint64 // ticks since boot
	// Program is the path of its file, as it was when the process was started; "" for threads of the kernel.
	Program string
	Args    []string
	// Cgroup is its cgroup's path below the root of the hierarchy that systemd uses.
	Cgroup string
	// Contained: it is in another PID namespace, so Program is what some container calls it.
	Contained bool
}

// Processes are the programs that run on the machine, and the control groups that hold them.
type Processes interface {
	// List returns all but this process and the kernel's own, by number. What ends meanwhile is left out.
	List(ctx context.Context) ([]Process, error)
	// Kill ends the process with SIGKILL and waits until it is gone; it may be gone already.
	Kill(ctx context.Context, process Process) error
	// Cgroups returns the paths of the cgroups right below the root whose names begin so, sorted; those of several hierarchies (cgroup
	// version 1) once. What containers have deeper down is theirs.
	Cgroups(ctx context.Context, prefix string) ([]string, error)
	// RemoveCgroup kills the processes in the cgroup and below it, and removes it from all hierarchies; a missing one is fine.
	RemoveCgroup(ctx context.Context, path string) error
}

// processes are the real kernel's.
type processes struct{}

func (processes) List(ctx context.Context) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", cause(err))
	}
	var out []Process
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if one, ok := processOf(pid); ok && one.Program != "" {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	return out, nil
}

func processOf(pid int) (Process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, false
	}
	started, ok := startTime(stat)
	if !ok {
		return Process{}, false
	}
	out := Process{PID: pid, Started: started}
	program, _ := os.Readlink(filepath.Join(dir, "exe"))
	out.Program = strings.TrimSuffix(program, " (deleted)")
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	if line = bytes.TrimSuffix(line, []byte{0}); len(line) > 0 {
		out.Args = strings.Split(string(line), "\x00")
	}
	own, _ := os.Readlink("/proc/self/ns/pid")
	its, _ := os.Readlink(filepath.Join(dir, "ns/pid"))
	out.Contained = its != own
	groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
	out.Cgroup = systemdCgroup(groups)
	return out, true
}

// startTime is the 22nd field of proc_pid_stat(5). The second one is a name in parentheses, which may hold anything.
func startTime(stat []byte) (uint64, bool) {
	const afterName = 22 - 3
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= afterName {
		return 0, false
	}
	started, err := strconv.ParseUint(fields[afterName], 10, 64)
	return started, err == nil
}

// systemdCgroup reads /proc/PID/cgroup: systemd's own hierarchy where there is one, else the one of version 2.
func systemdCgroup(content []byte) string {
	unified := ""
	for line := range strings.Lines(string(content)) {
		number, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if controllers == "name=systemd" {
			return path
		}
		if number == "0" {
			unified = path
		}
	}
	return unified
}

// killWait bounds the wait for a killed process: one in an uninterruptible call ends when the call does.
const (
	killWait  = 10 * time.Second
	killEvery = 20 * time.Millisecond
)

func (processes) Kill(ctx context.Context, process Process) error {
	if err := kill(ctx, process); err != nil {
		return fmt.Errorf("kill process %d (%s): %w", process.PID, process.Program, err)
	}
	return nil
}

func kill(ctx context.Context, process Process) error {
	// The descriptor stays with this process, whoever gets its number next.
	handle, err := unix.PidfdOpen(process.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(handle) //nolint:errcheck // nothing is written to it
	if now, ok := processOf(process.PID); !ok || now.Started != process.Started {
		return nil
	}
	if err := unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return until(ctx, func() (bool, error) {
		now, ok := processOf(process.PID)
		// A zombie has no program any more; its parent takes it away in its own time.
		return !ok || now.Started != process.Started || now.Program == "", nil
	})
}

// until asks until it is so.
func until(ctx context.Context, gone func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killWait, errors.New("it does not end"))
	defer cancel()
	for {
		done, err := gone()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(killEvery):
		}
	}
}

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies are the roots of the cgroup hierarchies: one with version 2, one for each group of controllers with version 1.
func hierarchies() ([]string, error) {
	version, err := cgroupVersion()
	if err != nil || version == 2 {
		return []string{cgroupRoot}, err
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, cause(err)
	}
	var out []string
	for _, entry := range entries {
		if entry.IsDir() { // not a link like cpu → cpu,cpuacct
			out = append(out, filepath.Join(cgroupRoot, entry.Name()))
		}
	}
	return out, nil
}

func (processes) Cgroups(ctx context.Context, prefix string) ([]string, error) {
	roots, err := hierarchies()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("list cgroups: %w", err)
	}
	var out []string
	for _, root := range roots {
		entries, err := os.ReadDir(root)
		if err != nil {
			return nil, fmt.Errorf("list cgroups: %w", cause(err))
		}
		for _, entry := range entries {
			if entry.IsDir() && strings.HasPrefix(entry.Name(), prefix) {
				out = append(out, "/"+entry.Name())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (processes) RemoveCgroup(ctx context.Context, path string) error {
	path = filepath.Clean(path)
	if err := ready(ctx, path); err != nil {
		return fmt.Errorf("remove cgroup %s: %w", path, err)
	}
	if path == "/" {
		return errors.New("remove cgroup /: the root is not removed")
	}
	roots, err := hierarchies()
	for _, root := range roots {
		err = errors.Join(err, until(ctx, func() (bool, error) { return removeCgroup(filepath.Join(root, path)) }))
	}
	if err != nil {
		return fmt.Errorf("remove cgroup %s: %w", path, err)
	}
	return nil
}

// removeCgroup kills and removes what it can, the deepest first; it is done once nothing is left.
func removeCgroup(dir string) (gone bool, err error) {
	var dirs []string
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil // removed meanwhile
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, path := range slices.Backward(dirs) {
		content, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, line := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(line); err == nil && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL) // whoever is gone need not be killed
			}
		}
		if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) {
			return false, err
		}
	}
	_, statErr := os.Lstat(dir)
	return errors.Is(statErr, fs.ErrNotExist), err
}
