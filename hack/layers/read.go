package layers

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Read finds the packages of the module at root from the source alone: files behind any build tag count, and a package
// that does not compile today does too. Folders with a go.mod are other modules.
func Read(root string) ([]Package, error) {
	found := map[string]*Package{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != root && isOther(file, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return readFile(found, file, filepath.ToSlash(rel))
	})
	if err != nil {
		return nil, fmt.Errorf("read the source tree: %w", err)
	}
	var packages []Package
	for _, p := range found {
		slices.SortFunc(p.Imports, func(a, b Import) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.File, b.File))
		})
		packages = append(packages, *p)
	}
	slices.SortFunc(packages, func(a, b Package) int { return cmp.Compare(a.Path, b.Path) })
	return packages, nil
}

// isOther knows the folders that the go command leaves out of ./... as well.
func isOther(dir, name string) bool {
	if name == "testdata" || name == "vendor" || name[0] == '.' || name[0] == '_' {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func readFile(found map[string]*Package, file, rel string) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return err
	}
	p := found[path.Dir(rel)]
	if p == nil {
		p = &Package{Path: path.Dir(rel)}
		found[p.Path] = p
	}
	test := strings.HasSuffix(rel, "_test.go")
	if !test {
		p.Name, p.Code = parsed.Name.Name, true
		if parsed.Doc != nil {
			p.Doc += parsed.Doc.Text()
		}
	}
	for _, spec := range parsed.Imports {
		full, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("read import of %s: %w", rel, err)
		}
		ours, isOurs := strings.CutPrefix(full, Module+"/")
		p.Imports = append(p.Imports, Import{Path: ours, Ours: isOurs, Test: test, File: path.Base(rel)})
	}
	return nil
}
