package program

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/hack/build/cache"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// checkout makes a module below a root, whose program prints text.
func checkout(t *testing.T, text string) *Builder {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "upstream", "tool")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module example.com/tool\n\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "main.go"), text)
	store, err := cache.Open(filepath.Join(root, "cache"), func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &Builder{Root: root, Platform: Platform{"linux", runtime.GOARCH}, Cache: store, Progress: func(Built) {}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tool() recipe.Program {
	return recipe.Program{Name: "tool", Dir: "upstream/tool", Version: "v1", Files: []recipe.File{{Name: "tool", Package: "."}}, Links: map[string]string{"alias": "tool"}}
}

func build(t *testing.T, b *Builder, p recipe.Program) Built {
	t.Helper()
	all, err := b.Build(context.Background(), []recipe.Program{p})
	if err != nil {
		t.Fatal(err)
	}
	return all[p.Name]
}

func TestBuildOnceUntilSomethingChanges(t *testing.T) {
	b := checkout(t, "package main\n\nfunc main() {}\n")
	if first := build(t, b, tool()); first.Cached {
		t.Error("the first build was cached")
	} else if link, err := os.Readlink(filepath.Join(first.Dir, "alias")); err != nil || link != "tool" {
		t.Errorf("alias is %q, %v", link, err)
	}
	dir := filepath.Join(b.Root, "upstream", "tool")
	write(t, filepath.Join(dir, "main_test.go"), "package main\n")
	if !build(t, b, tool()).Cached {
		t.Error("a test was changed, and the program built again")
	}
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { println() }\n")
	if build(t, b, tool()).Cached {
		t.Error("the source was changed, and the old program used")
	}
	changed := tool()
	changed.Tags = []string{"other"}
	if build(t, b, changed).Cached {
		t.Error("the recipe was changed, and the old program used")
	}
}

func TestFailureShowsTheReason(t *testing.T) {
	b := checkout(t, "package main\n\nfunc main() { undefinedThing() }\n")
	_, err := b.Build(context.Background(), []recipe.Program{tool()})
	if err == nil || !strings.Contains(err.Error(), "undefinedThing") || !strings.Contains(err.Error(), "tool.log") {
		t.Errorf("got %v", err)
	}
}

func TestVersionStandsInTheModule(t *testing.T) {
	b := checkout(t, "")
	write(t, filepath.Join(b.Root, "upstream", "tool", "go.mod"), "module m\n\nrequire (\n\texample.com/x/y v0.1.0\n\texample.com/x v1.36.3 // indirect\n)\n")
	p := tool()
	p.Module, p.Stamps = "example.com/x", []string{"v.Version={version}", "v.Minor={minor}"}
	version, err := b.version(p)
	if err != nil || version != "v1.36.3" {
		t.Fatalf("got %s, %v", version, err)
	}
	if args := arguments(p, version); !slices.Contains(args, "-s -w -X v.Version=v1.36.3 -X v.Minor=36") {
		t.Errorf("got %q", args)
	}
	p.Module = "example.com/other"
	if _, err := b.version(p); err == nil {
		t.Error("want an error for a module that is not required")
	}
}
