// Package program turns recipes into directories of files: it runs the Go compiler or takes files out of Debian packages.
// Used by the builder for everything that goes into an image or is run by a test.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/hack/build/cache"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// Builder builds for one platform, out of one checkout.
type Builder struct {
	Root     string
	Platform Platform
	Cache    *cache.Store
	// Progress is called once per program.
	Progress func(p Built)
}

// Platform is what programs are built for.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// Built is a program's result.
type Built struct {
	Name, Version, Dir string
	Cached             bool
	Took               time.Duration
}

// Build builds one program after the other, because the Go compiler uses all processors already.
func (b *Builder) Build(ctx context.Context, programs []recipe.Program) (map[string]Built, error) {
	results := map[string]Built{}
	for _, p := range programs {
		start := time.Now()
		result, err := b.one(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("build %s for %s: %w", p.Name, b.Platform, err)
		}
		result.Took = time.Since(start)
		results[p.Name] = result
		b.Progress(result)
	}
	return results, nil
}

func (b *Builder) one(ctx context.Context, p recipe.Program) (Built, error) {
	version, err := b.version(p)
	if err != nil {
		return Built{}, err
	}
	result := Built{Name: p.Name, Version: version}
	inputs, err := b.inputs(ctx, p, version)
	if err != nil {
		return Built{}, err
	}
	key := p.Name + "-" + inputs
	if dir, ok := b.Cache.Get(key); ok && !p.Uncached {
		result.Dir, result.Cached = dir, true
		return result, nil
	}
	if err := b.checkTools(p); err != nil {
		return Built{}, err
	}
	result.Dir, err = b.Cache.Put(key, func(dir string) error { return b.fill(ctx, p, version, dir) })
	return result, err
}

func (b *Builder) fill(ctx context.Context, p recipe.Program, version, dir string) error {
	log := filepath.Join(b.Cache.Dir(), p.Name+".log")
	if p.Debian != nil {
		return extract(ctx, *p.Debian, b.Platform, log, dir)
	}
	if err := b.compile(ctx, p, version, log, dir); err != nil {
		return err
	}
	names := make([]string, 0, len(p.Links))
	for name := range p.Links {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := os.Symlink(p.Links[name], filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

func (b *Builder) compile(ctx context.Context, p recipe.Program, version, log, dir string) error {
	out, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("open build log: %w", err)
	}
	defer out.Close()
	for _, file := range p.Files {
		args := arguments(p, version)
		if p.Uncached && b.isCheckout(ctx) {
			args = append(args, "-buildvcs=true") // ours says which commit it is; the others must not change with our commits
		}
		args = append(args, "-o", filepath.Join(dir, file.Name), file.Package)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = filepath.Join(b.Root, p.Dir), b.environment(p)
		cmd.Stdout, cmd.Stderr = out, out
		fmt.Fprintf(out, "+ cd %s && go %s\n", p.Dir, strings.Join(args, " "))
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("compile %s: %w\n%s", file.Name, err, tail(log))
		}
	}
	return nil
}

// isCheckout: git knows the commit. It refuses a directory of another user, for example, and go build would end with it.
func (b *Builder) isCheckout(ctx context.Context) bool {
	return exec.CommandContext(ctx, "git", "-C", b.Root, "rev-parse", "--verify", "--quiet", "HEAD").Run() == nil
}

// arguments are those of go build; nothing of this machine or moment gets into the result.
func arguments(p recipe.Program, version string) []string {
	link := []string{"-s", "-w"}
	if p.Cgo {
		link = append(link, "-linkmode", "external", "-extldflags", `"-static"`)
	}
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	parts = append(parts, "", "") // a version of our own may have fewer
	replace := strings.NewReplacer("{version}", version, "{major}", parts[0], "{minor}", parts[1])
	for _, stamp := range p.Stamps {
		link = append(link, "-X", replace.Replace(stamp))
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join(link, " ")}
	if len(p.Tags) > 0 {
		args = append(args, "-tags", strings.Join(p.Tags, ","))
	}
	return args
}

// environment is the caller's but for what would change the result.
func (b *Builder) environment(p recipe.Program) []string {
	cgo := "0"
	if p.Cgo {
		cgo = "1"
	}
	return append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOOS="+b.Platform.OS, "GOARCH="+b.Platform.Arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "CGO_ENABLED="+cgo, "CGO_CFLAGS=-O2 -g0", "CGO_LDFLAGS=")
}

func (b *Builder) checkTools(p recipe.Program) error {
	for _, tool := range p.Tools {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed, run hack/setup build: %w", tool, err)
		}
	}
	if p.Cgo && b.Platform.Arch != runtime.GOARCH && os.Getenv("CC") == "" {
		return errors.New("it needs a C compiler and libseccomp of that platform: install gcc-<triplet> and libseccomp-dev:<arch>, " +
			"set CC and PKG_CONFIG_PATH, or build it on such a machine")
	}
	return nil
}

// tail is the end of a log, where the reason is.
func tail(log string) string {
	const most = 40
	data, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return string(bytes.Join(lines, []byte("\n"))) + "\n(all of it: " + log + ")"
}
