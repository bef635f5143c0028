package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gardenadm/gardenadm/hack/build/cache"
	"github.com/gardenadm/gardenadm/hack/build/image"
	"github.com/gardenadm/gardenadm/hack/build/layer"
	"github.com/gardenadm/gardenadm/hack/build/program"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

type options struct {
	platform   string
	cacheLimit int64
	output     string
}

func hostPlatform() string { return "linux/" + runtime.GOARCH }

func runBundle(ctx context.Context, o *options) error { return buildImages(ctx, o, recipe.Images()) }

func runTestImage(ctx context.Context, o *options) error {
	return buildImages(ctx, o, recipe.TestImages())
}

func buildImages(ctx context.Context, o *options, recipes []recipe.Image) error {
	start := time.Now()
	return withBuilder(o, func(b *program.Builder) error {
		b.Images = true
		programs, err := recipe.ByName(recipe.Programs(), recipe.Needed(recipes)...)
		if err != nil {
			return err
		}
		built, err := b.Build(ctx, programs)
		if err != nil {
			return err
		}
		images, err := assemble(ctx, b, recipes, built)
		if err != nil {
			return err
		}
		if err := image.WriteLayout(o.output, images); err != nil {
			return err
		}
		say("%d images in %s, %s compressed, in %s", len(images), o.output, megabytes(total(images)), seconds(time.Since(start)))
		return nil
	})
}

func assemble(ctx context.Context, b *program.Builder, recipes []recipe.Image, built map[string]program.Built) ([]*image.Image, error) {
	made, err := makeLayers(ctx, b, recipes, built)
	if err != nil {
		return nil, err
	}
	var images []*image.Image
	for _, r := range recipes {
		var layers []*layer.Layer
		for _, l := range r.Layers {
			layers = append(layers, made[l])
		}
		one, err := image.Assemble(r, built[r.Layers[0].Program].Version, b.Platform, layers)
		if err != nil {
			return nil, err
		}
		images = append(images, one)
	}
	return images, nil
}

// makeLayers compresses as many layers at once as there are processors: zstd uses one for each.
func makeLayers(ctx context.Context, b *program.Builder, recipes []recipe.Image, built map[string]program.Built) (map[recipe.Layer]*layer.Layer, error) {
	compressor, err := layer.NewCompressor(ctx, b.Cache)
	if err != nil {
		return nil, err
	}
	var wanted []recipe.Layer
	for _, r := range recipes {
		for _, l := range r.Layers {
			if !slices.Contains(wanted, l) {
				wanted = append(wanted, l)
			}
		}
	}
	results := make([]*layer.Layer, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, l := range wanted {
		group.Go(func() (err error) {
			if results[i], err = makeLayer(ctx, compressor, l, built[l.Program]); err != nil {
				return fmt.Errorf("make layer %s: %w", l.Program, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	made := map[recipe.Layer]*layer.Layer{}
	for i, l := range wanted {
		made[l] = results[i]
	}
	return made, nil
}

func makeLayer(ctx context.Context, compressor *layer.Compressor, l recipe.Layer, from program.Built) (*layer.Layer, error) {
	start := time.Now()
	files, err := layer.FromDir(from.Dir, l.Dir)
	if err != nil {
		return nil, err
	}
	files = append(files, layer.File{Path: "/usr/share/doc/" + l.Program + "/licenses.json", Mode: 0o644, Source: from.Licenses})
	if l.Base {
		files = append(files, layer.Base()...)
	}
	made, cached, err := compressor.Make(ctx, files, cmp.Or(l.Window, layer.DefaultWindow))
	if err == nil && !cached {
		size, _ := made.Size()
		say("%-24s compressed to %s in %s", l.Program, megabytes(size), seconds(time.Since(start)))
	}
	return made, err
}

func runProgram(ctx context.Context, o *options, names []string) error {
	programs, err := recipe.ByName(recipe.Programs(), names...)
	if err != nil {
		return err
	}
	return withBuilder(o, func(b *program.Builder) error {
		built, err := b.Build(ctx, programs)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := place(built[name].Dir, o.output); err != nil {
				return fmt.Errorf("copy %s: %w", name, err)
			}
		}
		return nil
	})
}

// place copies files into a directory that may hold others; each is replaced in one step, running programs keep theirs.
func place(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		fresh := fmt.Sprintf("%s.new-%d", target, os.Getpid())
		defer os.Remove(fresh)
		if d.Type() == fs.ModeSymlink {
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Symlink(link, fresh), os.Rename(fresh, target))
		}
		if err := copyFile(path, fresh); err != nil {
			return err
		}
		return os.Rename(fresh, target)
	})
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

func runList(out io.Writer) error {
	for _, p := range recipe.Programs() {
		var files []string
		for _, f := range p.Files {
			files = append(files, f.Name)
		}
		if p.Debian != nil {
			files = p.Debian.Files
		}
		fmt.Fprintf(out, "program %-24s %s\n", p.Name, strings.Join(files, " "))
	}
	for _, i := range append(recipe.Images(), recipe.TestImages()...) {
		fmt.Fprintf(out, "image   %-24s %-4s %s\n", i.Name, i.Use, strings.Join(recipe.Needed([]recipe.Image{i}), " "))
	}
	return nil
}

// withBuilder opens the cache for work and shrinks it afterwards.
func withBuilder(o *options, work func(*program.Builder) error) error {
	osName, arch, found := strings.Cut(o.platform, "/")
	if !found || osName != "linux" {
		return fmt.Errorf("--platform is %q, want linux/ARCH", o.platform)
	}
	root, err := findRoot()
	if err != nil {
		return err
	}
	dir, err := cache.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	store, err := cache.Open(dir, func() { say("waiting for another build to end") })
	if err != nil {
		return err
	}
	defer store.Close()
	b := &program.Builder{Root: root, Platform: program.Platform{OS: osName, Arch: arch}, Cache: store, Progress: report}
	if err := work(b); err != nil {
		return err
	}
	return store.Evict(o.cacheLimit)
}

// findRoot looks for the checkout from the working directory upwards.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack", "build", "recipe")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("find the checkout: the working directory is not in it")
}

func report(p program.Built) {
	if p.Cached {
		say("%-24s %-12s cached", p.Name, p.Version)
		return
	}
	say("%-24s %-12s built in %s", p.Name, p.Version, seconds(p.Took))
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func seconds(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// total counts layers that images share once.
func total(images []*image.Image) (sum int64) {
	seen := map[*layer.Layer]bool{}
	for _, i := range images {
		for _, l := range i.Layers {
			if size, err := l.Size(); err == nil && !seen[l] {
				seen[l] = true
				sum += size
			}
		}
	}
	return sum
}
