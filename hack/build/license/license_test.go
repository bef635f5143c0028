package license

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
)

// known is the text of a licence.
func known(t *testing.T, name string) string {
	t.Helper()
	text, err := assets.ReadLicenseFile("License/" + name + "/pristine.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newClassifier(t *testing.T) *Classifier {
	t.Helper()
	c, err := NewClassifier()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExpression(t *testing.T) {
	c := newClassifier(t)
	mit, apache := known(t, "MIT"), known(t, "Apache-2.0")
	for _, test := range []struct {
		name  string
		texts []string
		want  string
	}{
		{"one", []string{mit}, "MIT"},
		{"several, some of them twice", []string{mit, apache, mit}, "Apache-2.0 AND MIT"},
		{"two in one text", []string{mit + "\n\n" + apache}, "Apache-2.0 AND MIT"},
		{"one of them unknown", []string{mit, "Do what is good."}, NoAssertion},
		{"none", nil, NoAssertion},
	} {
		if got := c.Expression(test.texts); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// module makes a module with the licence at its top and a package with one of its own.
func module(t *testing.T, atTop, below string) Module {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "third", "party")
	err := errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(top, "LICENSE.txt"), []byte(atTop), 0o644),
		os.WriteFile(filepath.Join(top, "NOTICE"), []byte("by Jane Doe"), 0o644),
		os.WriteFile(filepath.Join(top, "license.go"), []byte("package license"), 0o644),
		os.WriteFile(filepath.Join(dir, "COPYING"), []byte(below), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	return Module{Top: top, Dirs: []string{dir}}
}

func TestModules(t *testing.T) {
	from := Sources{Modules: map[string]Module{"example.com/x": module(t, known(t, "Apache-2.0"), known(t, "MIT"))}}
	c := newClassifier(t)
	const both = "Apache-2.0 AND MIT"
	for _, test := range []struct {
		name   string
		module debug.Module
		want   Package
	}{
		{
			"released", debug.Module{Path: "example.com/x", Version: "v1.2.3+incompatible", Sum: "h1:x"},
			Package{"example.com/x", "v1.2.3+incompatible", "pkg:golang/example.com/x@v1.2.3%2Bincompatible", both, "h1:x", "https://pkg.go.dev/example.com/x@v1.2.3+incompatible", nil},
		},
		{
			"replaced", debug.Module{Path: "example.com/x", Version: "v0.0.0", Replace: &debug.Module{Path: "example.com/y", Version: "v2.0.0", Sum: "h1:y"}},
			Package{"example.com/y", "v2.0.0", "pkg:golang/example.com/y@v2.0.0", both, "h1:y", "https://pkg.go.dev/example.com/y@v2.0.0", nil},
		},
		{
			"ours", debug.Module{Path: "example.com/x", Version: "(devel)"},
			Package{"example.com/x", "", "pkg:golang/example.com/x", both, "", "https://example.com/x", nil},
		},
	} {
		var list List
		if err := list.addModule(c, &test.module, from); err != nil {
			t.Fatal(err)
		}
		got := list.Packages[0]
		if len(got.Texts) != 3 || len(list.Texts) != 3 { // two licences and the notice
			t.Errorf("%s: got %d texts", test.name, len(got.Texts))
		}
		if got.Texts = nil; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", test.name, got, test.want)
		}
	}
	if err := new(List).addModule(c, &debug.Module{Path: "example.com/z"}, from); err == nil {
		t.Error("a module without sources was taken")
	}
}

// TestProgram uses the test itself as the program.
func TestProgram(t *testing.T) {
	program, err := os.Executable()
	info, ok := debug.ReadBuildInfo()
	if err != nil || !ok {
		t.Fatal(err, ok)
	}
	one := module(t, known(t, "BSD-3-Clause"), known(t, "MIT"))
	from := Sources{Root: one.Top, Modules: map[string]Module{}}
	for _, m := range append(info.Deps, &info.Main) {
		from.Modules[m.Path] = one
	}
	var list List
	c := newClassifier(t)
	for range 2 { // the second program of the same modules adds nothing
		if err := list.AddProgram(c, program, from); err != nil {
			t.Fatal(err)
		}
	}
	if len(list.Packages) != len(info.Deps)+2 {
		t.Errorf("got %+v", list.Packages)
	}
	if stdlib := list.Packages[0]; stdlib.Version != strings.Fields(runtime.Version())[0] || stdlib.License != "BSD-3-Clause" {
		t.Errorf("got %+v", stdlib)
	}
}

func TestDebianPackages(t *testing.T) {
	files := map[string]string{
		"usr/share/doc/libc6/copyright":     "see /usr/share/common-licenses/GPL-2.\nOr '/usr/share/common-licenses/GPL-2'",
		"usr/share/common-licenses/GPL-2":   "the whole text",
		"usr/share/doc/libother/copyright":  "free \xff",
		"usr/share/doc/libbroken/copyright": "see /usr/share/common-licenses/none",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	libc := Debian{Name: "libc6", Version: "1:2.36-9+deb12u14", Architecture: "arm64", Source: "glibc", SourceVersion: "1:2.36-9+deb12u14"}
	other := Debian{Name: "libother", Version: "1", Architecture: "arm64", Source: "libother", SourceVersion: "1"}
	var one, two List
	if err := errors.Join(one.AddDebian(libc, read), one.AddDebian(other, read), two.AddDebian(other, read), two.AddDebian(libc, read)); err != nil {
		t.Fatal(err)
	}
	got := one.Packages[0]
	if got.PURL != "pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u14?arch=arm64" || len(got.Texts) != 2 || got.License != NoAssertion ||
		got.Source != "https://snapshot.debian.org/package/glibc/1:2.36-9+deb12u14/" {
		t.Errorf("got %+v", got)
	}
	first, errFirst := one.Encode()
	second, errSecond := two.Encode()
	if errFirst != nil || errSecond != nil || !bytes.Equal(first, second) {
		t.Errorf("the order in which packages are added shows:\n%s%s", first, second)
	}
	for _, name := range []string{"libbroken", "libnone"} {
		if err := new(List).AddDebian(Debian{Name: name}, read); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
