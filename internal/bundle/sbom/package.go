package sbom

import (
	"cmp"
	"net/url"
)

// noAssertion is what SPDX has in place of an expression that is not known.
const noAssertion = "NOASSERTION"

// component is something that others made and that is in the bundle: a Go module, or a package of a distribution.
// It is as in the licence files that hack/build lays into images.
type component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// PURL is the package URL. Two findings with the same one are of the same component.
	PURL string `json:"purl"`
	// License is an SPDX expression or NOASSERTION.
	License string `json:"license"`
	// Sum is the checksum in go.sum.
	Sum string `json:"sum"`
	// Source is the URL of the source.
	Source string `json:"source"`
	// Texts are the digests of licence and notice texts.
	Texts []string `json:"texts"`
}

func compare(a, b component) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.PURL, b.PURL))
}

// golang is the package URL of a Go module.
func golang(path, version string) string {
	out := "pkg:golang/" + path
	if version != "" {
		out += "@" + url.QueryEscape(version)
	}
	return out
}
