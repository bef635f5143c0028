// Package license turns what a program was built of into a list of packages with versions, sources and licence texts.
// Used by the builder, which puts the list into every image.
package license

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// NoAssertion is SPDX's word for a licence that nobody has put into an expression: the texts tell it.
const NoAssertion = "NOASSERTION"

// List is the content of an image's licenses.json.
type List struct {
	Packages []Package `json:"packages"`
	// Texts are licences, notices and copyright files by their SHA-256, each once.
	Texts map[string]string `json:"texts"`
}

// Package is one Go module or one Debian package, of which at least a part is in the image.
type Package struct {
	Name string `json:"name"`
	// Version is empty for what is built from the checkout itself.
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl"`
	// License is an SPDX expression or NoAssertion.
	License string `json:"license"`
	// Sum is the module's checksum as in go.sum.
	Sum string `json:"sum,omitempty"`
	// Source is a page that leads to the source code.
	Source string `json:"source"`
	// Texts are keys of the list's.
	Texts []string `json:"texts,omitempty"`
}

// Add takes a package with its texts; of packages with the same PURL the first one stays.
func (l *List) Add(p Package, texts ...string) {
	if slices.ContainsFunc(l.Packages, func(other Package) bool { return other.PURL == p.PURL }) {
		return
	}
	if l.Texts == nil {
		l.Texts = map[string]string{}
	}
	for _, text := range texts {
		text = strings.ToValidUTF8(text, "\uFFFD")
		hash := sha256.Sum256([]byte(text))
		key := hex.EncodeToString(hash[:])
		l.Texts[key] = text
		p.Texts = append(p.Texts, key)
	}
	p.Texts = slices.Compact(slices.Sorted(slices.Values(p.Texts)))
	l.Packages = append(l.Packages, p)
}

// Encode gives the same bytes for the same packages, in whatever order they were added.
func (l *List) Encode() ([]byte, error) {
	slices.SortFunc(l.Packages, func(a, b Package) int { return cmp.Compare(a.PURL, b.PURL) })
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode licences: %w", err)
	}
	return append(text, '\n'), nil
}
