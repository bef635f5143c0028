package sbom

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// program is an executable file.
type program struct {
	// Path is where it is in the image.
	Path string
	// SHA256 is of its content, in hex.
	SHA256 string
	// Module and Version are those of its main package; the version is empty where the program does not know it.
	Module, Version string
	// Modules are what it was built of; none for a program that is not Go's.
	Modules []component
}

// isELF looks at the first bytes without taking them.
func isELF(content *bufio.Reader) bool {
	magic, err := content.Peek(4)
	return err == nil && bytes.Equal(magic, []byte("\x7fELF"))
}

// readProgram reads an ELF file, which goes through a file on disk: its parts are read in any order, and it can be large.
func readProgram(path string, content io.Reader) (program, error) {
	spool, err := os.CreateTemp("", "gardenadm-sbom-")
	if err != nil {
		return program{}, err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(spool, sum), content); err != nil {
		return program{}, fmt.Errorf("read %s: %w", path, err)
	}
	out := program{Path: path, SHA256: hex.EncodeToString(sum.Sum(nil))}
	info, err := buildinfo.Read(spool)
	if err != nil {
		return out, nil //nolint:nilerr // it is not Go's
	}
	out.read(info)
	return out, nil
}

func (p *program) read(info *debug.BuildInfo) {
	p.Module, p.Version = info.Main.Path, released(info.Main.Version)
	version, _, _ := strings.Cut(info.GoVersion, " ") // experiments stand behind it
	p.Modules = append(p.Modules, component{
		Name: "stdlib", Version: version, PURL: golang("stdlib", strings.TrimPrefix(version, "go")), License: noAssertion,
	})
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		version := released(module.Version)
		p.Modules = append(p.Modules, component{
			Name: module.Path, Version: version, PURL: golang(module.Path, version), License: noAssertion, Sum: module.Sum,
		})
	}
	slices.SortFunc(p.Modules, compare)
}

// released is the version but for what says that there is none.
func released(version string) string {
	if version == "(devel)" {
		return ""
	}
	return version
}

var errTooLarge = errors.New("it is too large")

// readAll reads a text file of a bounded size.
func readAll(content io.Reader, most int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(content, most+1))
	if err == nil && int64(len(raw)) > most {
		err = errTooLarge
	}
	return raw, err
}
