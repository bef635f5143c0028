package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// kindHint says what is wrong with a document whose apiVersion and kind are not read, and the name of the kind that was meant:
// empty when nothing is near.
func kindHint(apiVersion, name string) (message, meant string) {
	var versions []string
	for _, k := range kinds() {
		if k.name == name {
			versions = append(versions, k.apiVersion)
		}
	}
	switch {
	case len(versions) > 0 && apiVersion == "":
		return fmt.Sprintf("apiVersion must be set: %s", strings.Join(versions, " or ")), name
	case len(versions) > 0:
		return fmt.Sprintf("unknown apiVersion %q of kind %s: use %s", apiVersion, name, strings.Join(versions, " or ")), name
	case name == "":
		return "apiVersion and kind must be set", ""
	case name == "Kustomization":
		return "kustomize is not run here: give the output of kustomize build", ""
	}
	if near := nearest(name, kindNames()); near != "" {
		return fmt.Sprintf("unknown kind %q: did you mean %s?", name, near), near
	}
	if group, _, _ := strings.Cut(apiVersion, "/"); strings.HasSuffix(group, "gardener.cloud") {
		return fmt.Sprintf("a %s of %s is no part of a cluster's manifests", name, apiVersion), ""
	}
	return fmt.Sprintf("a %s of %s is no part of a cluster's manifests: apply it once the cluster runs", name, apiVersion), ""
}

// kindNames lists the kinds that have a part in a set.
func kindNames() []string {
	var names []string
	for _, k := range kinds() {
		if k.put != nil && !slices.Contains(names, k.name) {
			names = append(names, k.name)
		}
	}
	return names
}

// fieldHint continues "unknown field".
func fieldHint(name string, known []string) string {
	const few = 8
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %s?", near)
	}
	if len(known) > 0 && len(known) <= few {
		return ": known are " + strings.Join(known, ", ")
	}
	return ""
}

// nearest returns the candidate that a person most likely meant, "" when none is near.
func nearest(word string, candidates []string) string {
	best, least := "", min(3, len(word)/3)+1
	for _, candidate := range candidates {
		a, b := strings.ToLower(word), strings.ToLower(candidate)
		if strings.TrimSuffix(a, "s") == strings.TrimSuffix(b, "s") {
			return candidate
		}
		if d := distance(a, b, least); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the letters to add, remove, replace or swap with their neighbour; from most on it may be any number not below it.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(previous[j+1]+1, row[j]+1, previous[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}
