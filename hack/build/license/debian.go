package license

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
)

// Debian is a Debian package and the source package that it was built of.
type Debian struct{ Name, Version, Architecture, Source, SourceVersion string }

// AddDebian adds a package with its copyright file and the common licences that this one refers to; read reads files of
// a Debian system by their paths, without a leading slash. A copyright file tells of more than what is in one package,
// so no expression is made of it.
func (l *List) AddDebian(d Debian, read func(name string) ([]byte, error)) error {
	copyright, err := read(path.Join("usr/share/doc", d.Name, "copyright"))
	if err != nil {
		return fmt.Errorf("read copyright of package %s: %w", d.Name, err)
	}
	texts := []string{string(copyright)}
	names := regexp.MustCompile(`usr/share/common-licenses/[A-Za-z0-9.-]*[A-Za-z0-9]`).FindAllString(string(copyright), -1)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		text, err := read(name)
		if err != nil {
			return fmt.Errorf("read licence of package %s: %w", d.Name, err)
		}
		texts = append(texts, string(text))
	}
	l.Add(Package{
		Name: d.Name, Version: d.Version, License: NoAssertion,
		PURL:   "pkg:deb/debian/" + d.Name + "@" + url.QueryEscape(d.Version) + "?arch=" + d.Architecture,
		Source: "https://snapshot.debian.org/package/" + d.Source + "/" + d.SourceVersion + "/",
	}, texts...)
	return nil
}
