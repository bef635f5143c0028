package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is what the running kernel was told and took in.
type Kernel interface {
	// Settings returns all settings that can be read and written, by their path below /proc/sys ("net/ipv4/ip_forward"; a
	// network link's name may have dots in it), without the line's end. Those that the kernel does not tell now are left out.
	Settings(ctx context.Context) (map[string]string, error)
	// Set changes a setting until the next boot.
	Set(ctx context.Context, setting, value string) error
	// Modules returns the names of the modules that are loaded, sorted; none where the kernel has no modules.
	Modules(ctx context.Context) ([]string, error)
}

// kernel is the real one.
type kernel struct{}

const dirSettings = "/proc/sys"

// mostSetting is longer than any setting that a person makes; longer ones are tables of the kernel.
const mostSetting = 1024

// dirBinaryFormats has no settings, and systemd mounts something there as soon as somebody looks.
const dirBinaryFormats = dirSettings + "/fs/binfmt_misc"

func (kernel) Settings(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dirSettings, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if errors.Is(err, fs.ErrNotExist) && path != dirSettings {
				return nil // a link went away
			}
			if err == nil && path == dirBinaryFormats {
				return fs.SkipDir
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Mode().Perm()&0o600 != 0o600 {
			return nil
		}
		value, err := os.ReadFile(path)
		if err == nil && len(value) <= mostSetting {
			out[strings.TrimPrefix(path, dirSettings+"/")] = string(bytes.TrimRight(value, "\n"))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the kernel's settings: %w", cause(err))
	}
	return out, nil
}

func (kernel) Set(ctx context.Context, setting, value string) error {
	err := ctx.Err()
	if err == nil && !filepath.IsLocal(setting) {
		err = errors.New("it is not a path below " + dirSettings)
	}
	if err == nil {
		err = writeSetting(filepath.Join(dirSettings, setting), value)
	}
	if err != nil {
		return fmt.Errorf("set %s to %q: %w", setting, value, cause(err))
	}
	return nil
}

// writeSetting neither makes nor replaces a file, unlike Files.Write.
func writeSetting(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value + "\n")
	return errors.Join(err, file.Close())
}

func (kernel) Modules(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	content, err := os.ReadFile("/proc/modules")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", cause(err))
	}
	var out []string
	for line := range strings.Lines(string(content)) {
		if name, _, ok := strings.Cut(line, " "); ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}
