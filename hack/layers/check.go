package layers

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Package is what the rules look at. Paths of our own packages are without the module: "internal/flow".
type Package struct {
	Path    string
	Name    string
	Doc     string   // of its non-test files; empty when there is none
	Code    bool     // has files that are not tests
	Imports []Import // sorted by path
}

// Import is one import of one file.
type Import struct {
	Path string // of ours without the module, foreign as it is
	Ours bool
	Test bool // in a _test.go file
	File string
}

// Check returns what is wrong with the packages, each with what to do about it.
func Check(packages []Package) []string {
	var wrong []string
	for _, p := range packages {
		for _, i := range p.Imports {
			wrong = append(wrong, checkOrder(p, i)...)
			for _, r := range Rules() {
				if r.forbids(p, i) {
					wrong = append(wrong, fmt.Sprintf("%s imports %s (%s): %s", p.Path, i.Path, i.File, r.Advice))
				}
			}
		}
		if layer, _ := layerOf(p.Path); layer < 0 && !under(Outside(), p.Path) && !under(TestHelpers(), p.Path) {
			wrong = append(wrong, fmt.Sprintf("%s is in no layer: move it below one, or add it to Layers in hack/layers/rules.go", p.Path))
		}
	}
	wrong = append(wrong, checkReach(packages)...)
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

// checkOrder looks at the order of the layers and at fakes.
func checkOrder(p Package, i Import) []string {
	from, group := layerOf(p.Path)
	if !i.Ours || from < 0 {
		return nil
	}
	say := func(what string) []string {
		return []string{fmt.Sprintf("%s imports %s (%s): %s", p.Path, i.Path, i.File, what)}
	}
	if isFake(i.Path) && !i.Test && !isFake(p.Path) {
		return say("it is for tests only: declare an interface and let the caller choose")
	}
	if under(Outside(), i.Path) {
		if i.Test {
			return nil
		}
		return say("the product imports nothing of hack/ and test/: move what both need into internal/")
	}
	switch to, other := layerOf(i.Path); {
	case to > from:
		return say(fmt.Sprintf("%s stands after %s: move what both need down, or declare an interface here and let the caller pass it in", other, group))
	case to == from && other != group:
		return say(fmt.Sprintf("%s and %s are strangers: move what both need below them, or join them in a layer above", group, other))
	}
	return nil
}

// isFake knows the packages that are for tests: helpers, and fakes beside what they stand for, as host/hosttest.
func isFake(p string) bool {
	return under(TestHelpers(), p) || path.Base(p) == path.Base(path.Dir(p))+"test"
}

// layerOf is the row and the entry of Layers that the package is in; -1 when it is in none.
func layerOf(p string) (row int, entry string) {
	row = -1
	for n, entries := range Layers() {
		for _, e := range entries {
			if matches(e, p) && len(e) > len(entry) {
				row, entry = n, e
			}
		}
	}
	return row, entry
}

// forbids says whether the rule is broken by this import.
func (r Rule) forbids(p Package, i Import) bool {
	return r.concerns(p.Path) && (r.Tests || !i.Test) && r.denies(p.Path, i.Path, i.Ours)
}

func (r Rule) concerns(p string) bool {
	return (len(r.In) == 0 || under(r.In, p)) && !under(r.NotIn, p)
}

func (r Rule) denies(from, to string, ours bool) bool {
	if under(r.Allow, to) || from == to { // a package's external test imports the package
		return false
	}
	return slices.ContainsFunc(r.Deny, func(pattern string) bool {
		switch {
		case pattern == anyOurs:
			return ours
		case pattern == anyForeign: // the first element of a path of the standard library has no dot
			return !ours && strings.Contains(strings.Split(to, "/")[0], ".")
		case strings.HasSuffix(pattern, "/*") && matches(pattern, from) && matches(pattern, to):
			// Within one folder of many: what belongs to the folder, and fakes, are no strangers.
			return folder(pattern, from) != folder(pattern, to) && !strings.HasSuffix(folder(pattern, to), "test")
		}
		return matches(pattern, to)
	})
}

// folder is the folder of a "/*" pattern that the path is in.
func folder(pattern, p string) string {
	rest := strings.TrimPrefix(p, strings.TrimSuffix(pattern, "*"))
	return strings.Split(rest, "/")[0]
}

// matches understands the patterns of the tables.
func matches(pattern, p string) bool {
	if only, ok := strings.CutPrefix(pattern, "="); ok {
		return p == only
	}
	if above, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(p, above) && p != above
	}
	return p == pattern || strings.HasPrefix(p, pattern+"/")
}

func under(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p) })
}

// checkReach follows the imports of the packages that a Reach rule is for, and names the way.
func checkReach(packages []Package) []string {
	imports := map[string][]string{}
	for _, p := range packages {
		for _, i := range p.Imports {
			if i.Ours && !i.Test {
				imports[p.Path] = append(imports[p.Path], i.Path)
			}
		}
	}
	var wrong []string
	for _, r := range Rules() {
		for _, p := range packages {
			if !r.Reach || !r.concerns(p.Path) {
				continue
			}
			seen := map[string]bool{p.Path: true}
			for ways := [][]string{{p.Path}}; len(ways) > 0; ways = ways[1:] {
				way := ways[0]
				last := way[len(way)-1]
				if r.denies(p.Path, last, true) {
					if len(way) > 2 { // shorter ways are direct imports, which Check has told already
						wrong = append(wrong, fmt.Sprintf("%s: %s", strings.Join(way, " imports "), r.Advice))
					}
					continue
				}
				for _, next := range imports[last] {
					if !seen[next] {
						seen[next] = true
						ways = append(ways, append(slices.Clone(way), next))
					}
				}
			}
		}
	}
	return wrong
}

// CheckDocs wants the two lines that every package opens with: what it turns into what, and who uses it.
func CheckDocs(packages []Package) []string {
	var wrong []string
	for _, p := range packages {
		if !p.Code || !matches("internal", p.Path) {
			continue
		}
		lines := strings.Split(p.Doc, "\n")
		first := strings.TrimPrefix(lines[0], "Package "+p.Name+" ")
		usedBy := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Used by ") })
		if first == lines[0] || first == "" || !usedBy {
			wrong = append(wrong, fmt.Sprintf(`%s: open the package with two lines: "// Package %s turns X into Y." and "// Used by Z …"`, p.Path, p.Name))
		}
	}
	return wrong
}
