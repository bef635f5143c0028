package program

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gardenadm/gardenadm/hack/build/license"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// listLicenses adds what the compiled programs in dir are made of.
func (b *Builder) listLicenses(ctx context.Context, p recipe.Program, dir string, list *license.List) error {
	if b.classifier == nil {
		var err error
		if b.classifier, err = license.NewClassifier(); err != nil {
			return err
		}
	}
	from, err := b.sources(ctx, p)
	if err != nil {
		return fmt.Errorf("find sources: %w", err)
	}
	for _, file := range p.Files {
		if err := list.AddProgram(b.classifier, filepath.Join(dir, file.Name), from); err != nil {
			return err
		}
	}
	linked, err := b.linked(ctx, p)
	if err != nil {
		return err
	}
	for _, one := range linked {
		if err := list.AddDebian(one, readHost); err != nil {
			return err
		}
	}
	return nil
}

// sources asks go where the packages are that it has just compiled.
func (b *Builder) sources(ctx context.Context, p recipe.Program) (license.Sources, error) {
	const format = `{{with .Module}}{{.Path}}{{"\t"}}{{.Dir}}{{"\t"}}{{$.Dir}}{{end}}`
	args := []string{"list", "-deps", "-f", format, "-tags", strings.Join(p.Tags, ",")}
	for _, file := range p.Files {
		args = append(args, file.Package)
	}
	packages, err := b.askGo(ctx, p, args...)
	if err != nil {
		return license.Sources{}, err
	}
	root, err := b.askGo(ctx, p, "env", "GOROOT")
	if err != nil {
		return license.Sources{}, err
	}
	from := license.Sources{Root: root, Modules: map[string]license.Module{}}
	for _, line := range strings.Split(packages, "\n") {
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			continue // of the standard library
		}
		module := from.Modules[fields[0]]
		module.Top = fields[1]
		if strings.HasPrefix(module.Top+"/", b.Root+"/") {
			module.Top = b.Root // the licence of ours stands there
		}
		module.Dirs = append(module.Dirs, fields[2])
		from.Modules[fields[0]] = module
	}
	return from, nil
}

// askGo runs the go command in the program's module, because a module may demand a newer one.
func (b *Builder) askGo(ctx context.Context, p recipe.Program, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = filepath.Join(b.Root, p.Dir), b.environment(p)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
