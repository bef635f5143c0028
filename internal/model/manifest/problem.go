package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Origin says where an object was read from.
type Origin struct {
	// File is the path below the directory of manifests.
	File string
	// Document counts the documents of the file that are not empty, from 1; 0 is the file as a whole.
	Document int
}

// String is the origin as it stands in messages.
func (o Origin) String() string {
	if o.Document == 0 {
		return o.File
	}
	return fmt.Sprintf("%s, document %d", o.File, o.Document)
}

// Problem is one thing that is wrong with the manifests, told so that a person finds it.
// It holds no value of a Secret.
type Problem struct {
	Origin Origin
	// Object is kind and name, for example Shoot garden/local; empty when that is not known.
	Object string
	// Path is the field's, for example spec.networking.pods; empty when the whole object is meant.
	Path    string
	Message string
	// Code is the fault that the problem is; empty stands for fault.BadManifest.
	Code fault.Code
}

// String is the problem in one line.
func (p Problem) String() string {
	var parts []string
	if p.Origin.File != "" {
		parts = append(parts, p.Origin.String())
	}
	for _, part := range []string{p.Object, p.Path, p.Message} {
		if part != "" {
			parts = append(parts, short(part))
		}
	}
	return strings.Join(parts, ": ")
}

// withCode is the line with the code of a problem that is a fault of its own.
func (p Problem) withCode() string {
	line := p.String()
	if p.Code != "" && p.Code != fault.BadManifest {
		line += fmt.Sprintf(" (%s)", p.Code)
	}
	return line
}

// Problems are all that is wrong with the manifests. As an error it has a line for each.
type Problems []Problem

// Error lists the problems in the order of files, the first hundred of them.
func (p Problems) Error() string {
	const most = 100
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Origin.File, b.Origin.File), cmp.Compare(a.Origin.Document, b.Origin.Document))
	})
	line := Problem.withCode
	if !slices.ContainsFunc(p, func(other Problem) bool { return other.Code != p[0].Code }) {
		line = Problem.String // the fault around them has the code
	}
	var lines []string
	for _, problem := range sorted[:min(len(sorted), most)] {
		lines = append(lines, line(problem))
	}
	if more := len(sorted) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Err is nil without problems.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// short keeps what comes from a file on one line and of a length that can be read.
func short(text string) string {
	const most = 400
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
