package program

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/hack/build/license"
	"github.com/gardenadm/gardenadm/hack/build/recipe"
)

// extract unpacks packages and keeps the wanted files, the shared libraries and the loader that they need; the packages
// that these are of are added to the list. Nothing of the packages is run, so any architecture can be unpacked anywhere.
func extract(ctx context.Context, d recipe.Debian, platform Platform, log, dir string, list *license.List) error {
	tree, err := unpack(ctx, d, platform, log)
	if err != nil {
		return err
	}
	keep := map[string][]byte{}
	for _, name := range d.Files {
		if err := tree.keepWithLibraries(name, keep); err != nil {
			return err
		}
	}
	owners, err := tree.owners()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(keep)) {
		target := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, keep[name], 0o755)); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		owner, ok := owners[name]
		if !ok {
			return fmt.Errorf("find the package of %s: there is none", name)
		}
		if err := list.AddDebian(owner, tree.read); err != nil {
			return err
		}
	}
	return nil
}

// files are an unpacked archive by cleaned path without a leading slash.
type files map[string]file

type file struct {
	data []byte
	link string
}

// contents is where unpack leaves a description of every package: its fields, then its files, then an empty line.
const contents = "contents"

// describe is run by mmdebstrap while the packages are still there.
const describe = `for deb in "$1"/var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$deb" Package Version Architecture Source
  dpkg-deb --fsys-tarfile "$deb" | tar --list
  echo
done >"$1/` + contents + `"`

// unpack unpacks the packages, those that they need, and base-files, which has the texts of common licences.
func unpack(ctx context.Context, d recipe.Debian, platform Platform, log string) (files, error) {
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--variant=extract", "--include=base-files,"+strings.Join(d.Packages, ","),
		"--extract-hook="+describe, "--architectures="+platform.Arch, "--format=tar", d.Suite, "-")
	messages, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("open build log: %w", err)
	}
	defer messages.Close()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, messages
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("unpack Debian packages: %w\n%s", err, tail(log))
	}
	return readTree(&out)
}

func readTree(from io.Reader) (files, error) {
	tree := files{}
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read unpacked packages: %w", err)
		}
		name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
		switch header.Typeflag {
		case tar.TypeReg:
			data, err := io.ReadAll(archive)
			if err != nil {
				return nil, fmt.Errorf("read unpacked %s: %w", name, err)
			}
			tree[name] = file{data: data}
		case tar.TypeSymlink:
			tree[name] = file{link: absolute(path.Dir(name), header.Linkname)}
		case tar.TypeLink:
			tree[name] = file{link: absolute("", header.Linkname)}
		}
	}
}

// owners tells the package of every file.
func (t files) owners() (map[string]license.Debian, error) {
	text, err := t.read(contents)
	if err != nil {
		return nil, err
	}
	owners := map[string]license.Debian{}
	for _, stanza := range strings.Split(string(text), "\n\n") {
		var d license.Debian
		for _, line := range strings.Split(stanza, "\n") {
			key, value, found := strings.Cut(line, ": ")
			switch {
			case !found || strings.HasPrefix(line, "."):
				owners[strings.TrimPrefix(line, "./")] = d
			case key == "Package":
				d.Name, d.Source = value, cmp.Or(d.Source, value)
			case key == "Version":
				d.Version, d.SourceVersion = value, cmp.Or(d.SourceVersion, value)
			case key == "Architecture":
				d.Architecture = value
			case key == "Source": // NAME, or NAME (VERSION) where that is another one
				name, version, _ := strings.Cut(value, " (")
				d.Source, d.SourceVersion = name, cmp.Or(strings.TrimSuffix(version, ")"), d.SourceVersion)
			}
		}
	}
	return owners, nil
}

func absolute(dir, link string) string {
	if path.IsAbs(link) {
		dir = ""
	}
	return strings.TrimPrefix(path.Clean("/"+path.Join(dir, link)), "/")
}

// keepWithLibraries adds the file, its loader and, over and over, the libraries that these name.
func (t files) keepWithLibraries(name string, keep map[string][]byte) error {
	if keep[name] != nil {
		return nil
	}
	data, err := t.read(name)
	if err != nil {
		return err
	}
	keep[name] = data
	binary, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read program %s: %w", name, err)
	}
	if section := binary.Section(".interp"); section != nil {
		loader, err := section.Data()
		if err != nil {
			return fmt.Errorf("read loader of %s: %w", name, err)
		}
		if err := t.keepWithLibraries(strings.Trim(string(loader), "/\x00"), keep); err != nil {
			return err
		}
	}
	libraries, err := binary.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("read libraries of %s: %w", name, err)
	}
	for _, library := range libraries {
		if strings.HasPrefix(library, "ld-linux") {
			continue // the loader, which is kept where .interp names it
		}
		found, err := t.find(library)
		if err != nil {
			return fmt.Errorf("find library of %s: %w", name, err)
		}
		if err := t.keepWithLibraries(found, keep); err != nil {
			return err
		}
	}
	return nil
}

// find looks for a library by name in the directories that Debian's loader looks in.
func (t files) find(library string) (string, error) {
	var found []string
	for name := range t {
		if dir := path.Dir(name); path.Base(name) == library && strings.HasSuffix(path.Dir(dir), "lib") {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s is in none of the packages", library)
	}
	slices.Sort(found)
	return found[0], nil
}

// read follows links, also those in the middle of the path, as /lib is one on merged systems.
func (t files) read(name string) ([]byte, error) {
	for range 16 {
		if f, ok := t[name]; ok && f.link == "" {
			return f.data, nil
		} else if ok {
			name = f.link
			continue
		}
		top, rest, _ := strings.Cut(name, "/")
		f, ok := t[top]
		if !ok || f.link == "" {
			break
		}
		name = path.Join(f.link, rest)
	}
	return nil, fmt.Errorf("read %s: no such file in the packages", name)
}
