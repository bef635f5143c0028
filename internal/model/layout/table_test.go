package layout

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// constants returns the values of the package's exported constants, by name, as its source declares them.
func constants(t *testing.T) map[string]constant.Value {
	t.Helper()
	set := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	checked, err := (&types.Config{Importer: importer.ForCompiler(set, "source", nil)}).Check("layout", set, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]constant.Value{}
	for _, name := range checked.Scope().Names() {
		if c, ok := checked.Scope().Lookup(name).(*types.Const); ok && c.Exported() {
			out[name] = c.Val()
		}
	}
	return out
}

// within says that a path is below one of the directories.
func within(item string, directories []string) bool {
	return slices.ContainsFunc(directories, func(dir string) bool { return strings.HasPrefix(item, dir+"/") })
}

// What gardenadm puts on a node is in the table. A file or directory below a directory that is listed goes with it.
func TestTableListsEveryConstant(t *testing.T) {
	listed := map[string][]string{}
	for _, row := range Table() {
		listed[row.Kind] = append(listed[row.Kind], row.Item)
	}
	kinds := map[string]int{}
	for name, value := range constants(t) {
		switch {
		case strings.HasPrefix(name, "Port"):
			kinds[KindPort]++
			number := value.ExactString()
			if !slices.ContainsFunc(listed[KindPort], func(item string) bool { return item == number+"/tcp" || item == number+"/udp" }) {
				t.Errorf("%s (%s) is not in the table", name, number)
			}
		case name == "UID":
			if !slices.Contains(listed[KindUser], value.ExactString()) {
				t.Errorf("%s is not in the table", name)
			}
		case strings.HasPrefix(name, "Unit"):
			kinds[KindUnit]++
			if !slices.Contains(listed[KindUnit], constant.StringVal(value)) {
				t.Errorf("%s (%s) is not in the table", name, value)
			}
		case strings.HasPrefix(name, "Dir"):
			kinds[KindDirectory]++
			item := constant.StringVal(value)
			if !slices.Contains(listed[KindDirectory], item) && !within(item, listed[KindDirectory]) {
				t.Errorf("%s (%s) is not in the table", name, item)
			}
		case strings.HasPrefix(name, "File"):
			kinds[KindFile]++
			item := constant.StringVal(value)
			if !slices.Contains(listed[KindFile], item) && !within(item, listed[KindDirectory]) {
				t.Errorf("%s (%s) is not in the table", name, item)
			}
		case strings.HasPrefix(name, "Kind"), strings.HasPrefix(name, "Socket"):
		default:
			t.Errorf("constant %s has no kind: call it Port…, Unit…, Dir…, File… or Socket…", name)
		}
	}
	for _, kind := range []string{KindPort, KindUnit, KindDirectory, KindFile} {
		if kinds[kind] == 0 {
			t.Errorf("no constant of kind %s was found: the test reads nothing", kind)
		}
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range Table() {
		if row.Owner == "" || row.Purpose == "" {
			t.Errorf("%s %s has no owner or no purpose", row.Kind, row.Item)
		}
		if seen[row.Kind+row.Item] {
			t.Errorf("%s %s is listed twice", row.Kind, row.Item)
		}
		seen[row.Kind+row.Item] = true
		if (row.Kind == KindFile || row.Kind == KindDirectory) && (!path.IsAbs(row.Item) || path.Clean(row.Item) != row.Item) {
			t.Errorf("%s %s is not a clean absolute path", row.Kind, row.Item)
		}
	}
}
