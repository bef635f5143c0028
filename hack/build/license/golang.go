package license

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// Sources are where the Go packages of programs are.
type Sources struct {
	// Root is the Go distribution's directory.
	Root string
	// Modules go by their paths.
	Modules map[string]Module
}

// Module says where the packages of a module are that a program uses. Licence files are looked for in their directories,
// in Top, and in all between.
type Module struct {
	Top  string
	Dirs []string
}

// AddProgram adds the modules that are linked into a Go program, and the standard library.
func (l *List) AddProgram(c *Classifier, program string, from Sources) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read modules of %s: %w", program, err)
	}
	if err := l.addStandardLibrary(c, info.GoVersion, from.Root); err != nil {
		return err
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if err := l.addModule(c, m, from); err != nil {
			return fmt.Errorf("list module %s of %s: %w", m.Path, program, err)
		}
	}
	return nil
}

func (l *List) addStandardLibrary(c *Classifier, version, root string) error {
	version, _, _ = strings.Cut(version, " ") // experiments follow
	licences, notices, err := read(root)
	if err != nil {
		return fmt.Errorf("read licence of Go: %w", err)
	}
	l.Add(Package{
		Name: "stdlib", Version: version, PURL: golangURL("stdlib", strings.TrimPrefix(version, "go")),
		License: c.Expression(licences), Source: "https://go.dev/dl/" + version + ".src.tar.gz",
	}, append(licences, notices...)...)
	return nil
}

func (l *List) addModule(c *Classifier, m *debug.Module, from Sources) error {
	where, ok := from.Modules[m.Path]
	if !ok {
		return errors.New("none of its packages is known")
	}
	if m.Replace != nil {
		m = m.Replace
	}
	p := Package{Name: m.Path, Version: m.Version, Sum: m.Sum, Source: "https://pkg.go.dev/" + m.Path + "@" + m.Version}
	if m.Sum == "" { // ours, not from a module proxy
		p.Version, p.Source = strings.TrimPrefix(m.Version, "(devel)"), "https://"+m.Path
	}
	p.PURL = golangURL(p.Name, p.Version)
	licences, notices, err := read(where.between()...)
	if err != nil {
		return err
	}
	p.License = c.Expression(licences)
	l.Add(p, append(licences, notices...)...)
	return nil
}

// golangURL is a package URL, see https://github.com/package-url/purl-spec.
func golangURL(name, version string) string {
	if version == "" {
		return "pkg:golang/" + name
	}
	return "pkg:golang/" + name + "@" + url.QueryEscape(version)
}

// between lists the directories of the packages and those above them, up to the top.
func (m Module) between() []string {
	all := []string{m.Top}
	for _, dir := range m.Dirs {
		for ; strings.HasPrefix(dir, m.Top+"/"); dir = filepath.Dir(dir) {
			all = append(all, dir)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// read finds licences, and notices and the like that belong to them, in directories but not below.
func read(dirs ...string) (licences, notices []string, err error) {
	licence := regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying)`)
	notice := regexp.MustCompile(`(?i)^(notice|patents|copyright)`)
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, nil, err
		}
		for _, entry := range entries {
			name := entry.Name()
			if !entry.Type().IsRegular() || strings.HasSuffix(name, ".go") || !licence.MatchString(name) && !notice.MatchString(name) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return nil, nil, err
			}
			if licence.MatchString(name) {
				licences = append(licences, string(text))
			} else {
				notices = append(notices, string(text))
			}
		}
	}
	return licences, notices, nil
}
