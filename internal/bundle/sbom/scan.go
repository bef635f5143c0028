package sbom

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/gardenadm/gardenadm/internal/node/layer"
)

// maxText bounds the files that are read into memory, in bytes. All licences of Kubernetes together are 2 MiB.
const maxText = 64 << 20

// findings are what is in one layer.
type findings struct {
	programs []program
	// declared are the components of a program by its licence file.
	declared map[string][]component
	// installed are the packages of the distribution.
	installed []component
	texts     map[string]string // by digest
}

// scan reads a layer. Files that a higher layer hides are handed out with the image all the same, so they count.
func scan(ctx context.Context, of Layer) (findings, error) {
	out := findings{declared: map[string][]component{}, texts: map[string]string{}}
	compressed, err := of.Open()
	if err != nil {
		return findings{}, err
	}
	defer compressed.Close()
	plain, err := layer.Decompress(compressed)
	if err != nil {
		return findings{}, err
	}
	defer plain.Close()
	copyrights := map[string]string{} // text by package
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return findings{}, err
		}
		name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
		if header.Typeflag == tar.TypeReg {
			if err := out.file(name, header.FileInfo().Mode()&0o111 != 0, archive, copyrights); err != nil {
				return findings{}, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	out.settle(copyrights)
	return out, nil
}

// file takes in one file.
func (f *findings) file(name string, executable bool, content io.Reader, copyrights map[string]string) error {
	if program := licensesOf(name); program != "" {
		raw, err := readAll(content, maxText)
		if err != nil {
			return err
		}
		found, err := parseLicenses(raw)
		if err != nil {
			return err
		}
		f.declared[program] = found.Packages
		for digest, text := range found.Texts {
			f.texts[digest] = text
		}
		return nil
	}
	if isStatus(name) {
		raw, err := readAll(content, maxText)
		f.installed = append(f.installed, parseStatus(raw)...)
		return err
	}
	if pkg := copyrightOf(name); pkg != "" {
		raw, err := readAll(content, maxText)
		copyrights[pkg] = string(raw)
		return err
	}
	buffered := bufio.NewReader(content)
	if !executable || !isELF(buffered) {
		return nil
	}
	found, err := readProgram("/"+name, buffered)
	if err != nil {
		return err
	}
	f.programs = append(f.programs, found)
	return nil
}

// settle brings together what was found in different files.
func (f *findings) settle(copyrights map[string]string) {
	slices.SortFunc(f.installed, compare)
	for i, one := range f.installed {
		if text, ok := copyrights[one.Name]; ok {
			digest := digestOf(text)
			f.texts[digest] = text
			f.installed[i].Texts = []string{digest}
		}
	}
	// Programs that are not Go's are those of the packages, where there are any.
	if len(f.installed) > 0 || len(f.declared) > 0 {
		f.programs = slices.DeleteFunc(f.programs, func(p program) bool { return p.Modules == nil })
	}
	slices.SortFunc(f.programs, func(a, b program) int { return cmp.Compare(a.Path, b.Path) })
}
