// Package program turns recipes into directories of files: it runs the Go compiler or takes files out of Debian packages.
// Used by the builder for everything that goes into an image or is run by a test.
package program

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gardenadm/gardenadm/hack/build/cache"
	"github.com/gardenadm/gardenadm/hack/build/license"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// Builder builds for one platform, out of one checkout.
type Builder struct {
	Root     string
	Platform Platform
	Cache    *cache.Store
	// Images says that the programs go into images. Without it the licences of uncached ones are not listed: it takes seconds.
	Images bool
	// Progress is called once per program.
	Progress func(p Built)

	classifier *license.Classifier
}

// Platform is what programs are built for.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// Built is a program's result.
type Built struct {
	Name, Version string
	// Dir holds the program's files and nothing else, Licenses is the file that lists what they were built of.
	Dir, Licenses string
	Cached        bool
	Took          time.Duration
}

const (
	filesName    = "files"
	licensesName = "licenses.json"
)

func (r *Built) in(entry string) {
	r.Dir, r.Licenses = filepath.Join(entry, filesName), filepath.Join(entry, licensesName)
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
		result.in(dir)
		result.Cached = true
		return result, nil
	}
	if err := b.checkTools(p); err != nil {
		return Built{}, err
	}
	dir, err := b.Cache.Put(key, func(dir string) error { return b.fill(ctx, p, version, dir) })
	result.in(dir)
	return result, err
}

// fill makes a cache entry: the files and what they were built of.
func (b *Builder) fill(ctx context.Context, p recipe.Program, version, entry string) error {
	log := filepath.Join(b.Cache.Dir(), p.Name+".log")
	dir := filepath.Join(entry, filesName)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	var list license.List
	var err error
	if p.Debian != nil {
		err = extract(ctx, *p.Debian, b.Platform, log, dir, &list)
	} else if err = b.compile(ctx, p, version, log, dir); err == nil && (b.Images || !p.Uncached) {
		err = b.listLicenses(ctx, p, dir, &list)
	}
	if err != nil {
		return err
	}
	if err := checkMachine(dir, b.Platform); err != nil {
		return err
	}
	text, err := list.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(entry, licensesName), text, 0o644); err != nil {
		return fmt.Errorf("write licences: %w", err)
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
	for name, target := range p.Links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
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
	if len(p.Archives) > 0 {
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
	env := append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOOS="+b.Platform.OS, "GOARCH="+b.Platform.Arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if len(p.Archives) == 0 {
		return append(env, "CGO_ENABLED=0")
	}
	return append(env, b.cEnvironment()...)
}

func (b *Builder) checkTools(p recipe.Program) error {
	for _, tool := range p.Tools {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not installed, run hack/setup build: %w", tool, err)
		}
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
