package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gardenadm/gardenadm/hack/build/license"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// triplet is Debian's name of the platform, in directories and in the names of cross compilers.
func (p Platform) triplet() string {
	if p.Arch == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}

// setup is the command that installs a C compiler and libraries of the platform.
func (p Platform) setup() string {
	if p.Arch == runtime.GOARCH {
		return "hack/setup build"
	}
	return "hack/setup " + p.Arch
}

func (b *Builder) cCompiler() string {
	if b.Platform.Arch == runtime.GOARCH {
		return "gcc"
	}
	return b.Platform.triplet() + "-gcc"
}

// cEnvironment is what a program with cgo needs besides.
func (b *Builder) cEnvironment() []string {
	env := []string{"CGO_ENABLED=1", "CC=" + b.cCompiler(), "CGO_CFLAGS=-O2 -g0", "CGO_LDFLAGS="}
	if b.Platform.Arch != runtime.GOARCH {
		env = append(env, "PKG_CONFIG_PATH=", "PKG_CONFIG_LIBDIR=/usr/lib/"+b.Platform.triplet()+"/pkgconfig")
	}
	return env
}

// linked finds the Debian packages of the C libraries that become part of the program.
func (b *Builder) linked(ctx context.Context, p recipe.Program) ([]license.Debian, error) {
	var packages []license.Debian
	for _, archive := range p.Archives {
		path, err := output(ctx, b.cCompiler(), "-print-file-name="+archive)
		if err != nil {
			return nil, fmt.Errorf("find %s (%s installs it): %w", archive, b.Platform.setup(), err)
		}
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("find %s: it is not installed for %s, run %s", archive, b.Platform, b.Platform.setup())
		}
		owner := ""
		if path, err = filepath.EvalSymlinks(path); err == nil { // dpkg knows /usr/lib, not /lib
			owner, err = output(ctx, "dpkg-query", "--search", path)
		}
		if err != nil {
			return nil, fmt.Errorf("find the package of %s: %w", path, err)
		}
		name, _, _ := strings.Cut(owner, ": ")
		const fields = "${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}"
		facts, err := output(ctx, "dpkg-query", "--show", "--showformat="+fields, name)
		if err != nil {
			return nil, fmt.Errorf("find version of %s: %w", name, err)
		}
		var d license.Debian
		if _, err := fmt.Sscan(facts, &d.Name, &d.Version, &d.Architecture, &d.Source, &d.SourceVersion); err != nil {
			return nil, fmt.Errorf("find version of %s in %q: %w", name, facts, err)
		}
		packages = append(packages, d)
	}
	return packages, nil
}

// output is what a command prints, without the line's end.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return strings.TrimSpace(string(out)), err
}

// readHost reads a file of this machine by its path without a leading slash.
func readHost(name string) ([]byte, error) { return os.ReadFile(filepath.Join("/", name)) }
