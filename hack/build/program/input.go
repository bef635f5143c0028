package program

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gardenadm/gardenadm/hack/build/license"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// format goes up with every change of what this package makes of the same inputs.
const format = 2

// version is what the module's go.mod pins, so that it stands in one place only.
func (b *Builder) version(p recipe.Program) (string, error) {
	if p.Module == "" {
		return p.Version, nil
	}
	path := filepath.Join(b.Root, p.Dir, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("find version: %w", err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == p.Module && strings.HasPrefix(fields[1], "v") {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("find version: %s does not require %s", path, p.Module)
}

// inputs is the hash of all that decides on the result: recipe, platform, compiler, pinned modules and our own sources.
func (b *Builder) inputs(ctx context.Context, p recipe.Program, version string) (string, error) {
	hash := sha256.New()
	linked, err := b.linked(ctx, p)
	if err != nil {
		return "", err
	}
	recipeText, err := json.Marshal(struct {
		Format    int
		Recipe    recipe.Program
		Version   string
		Platform  Platform
		Arguments []string
		Linked    []license.Debian
	}{format, p, version, b.Platform, arguments(p, version), linked})
	if err != nil {
		return "", fmt.Errorf("hash recipe: %w", err)
	}
	hash.Write(recipeText)
	if p.Debian == nil && !p.Uncached {
		compiler, err := b.askGo(ctx, p, "env", "GOVERSION")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "\n%s\n", compiler)
		if err := hashSources(hash, filepath.Join(b.Root, p.Dir)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:32], nil
}

// hashSources reads the module's files in order of their names; tests change nothing in the program.
func hashSources(hash io.Writer, dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		fmt.Fprintf(hash, "%s %d\n%s", name, len(data), data)
		return err
	})
	if err != nil {
		return fmt.Errorf("hash sources: %w", err)
	}
	return nil
}
