package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Origin says where an object was read from.
type Origin struct {
	// File is the path below the directory of manifests.
	File string
	// Document counts the documents of the file from 1.
	Document int
}

// Problem is one thing that is wrong with the manifests, told so that a person finds it.
type Problem struct {
	Origin Origin
	// Object is kind and name, for example Shoot garden/local; empty when that is not known.
	Object string
	// Path is the field's, for example spec.networking.pods; empty when the whole object is meant.
	Path    string
	Message string
}

// String is the problem in one line.
func (p Problem) String() string {
	var parts []string
	if p.Origin.File != "" {
		parts = append(parts, fmt.Sprintf("%s, document %d", p.Origin.File, p.Origin.Document))
	}
	for _, part := range []string{p.Object, p.Path, p.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems are all that is wrong with the manifests. As an error it has a line for each.
type Problems []Problem

// Error lists the problems in the order of files.
func (p Problems) Error() string {
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Origin.File, b.Origin.File), cmp.Compare(a.Origin.Document, b.Origin.Document))
	})
	lines := make([]string, 0, len(sorted))
	for _, problem := range sorted {
		lines = append(lines, problem.String())
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
