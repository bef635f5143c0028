package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// licenses is the file /usr/share/doc/PROGRAM/licenses.json, which hack/build lays into every image that it makes.
type licenses struct {
	Packages []component       `json:"packages"`
	Texts    map[string]string `json:"texts"`
}

// licensesOf returns the program that a path has the licences of, "" when it is no such file.
func licensesOf(name string) string {
	dir, base := path.Split(name)
	program, ok := strings.CutPrefix(path.Clean(dir), "usr/share/doc/")
	if base != "licenses.json" || !ok || strings.Contains(program, "/") {
		return ""
	}
	return program
}

func parseLicenses(raw []byte) (licenses, error) {
	var out licenses
	if err := json.Unmarshal(raw, &out); err != nil {
		return licenses{}, fmt.Errorf("decode licenses: %w", err)
	}
	for digest, text := range out.Texts {
		if digest != digestOf(text) {
			return licenses{}, fmt.Errorf("decode licenses: text %q has digest %s", digest, digestOf(text))
		}
	}
	for i, one := range out.Packages {
		if one.Name == "" || one.PURL == "" {
			return licenses{}, fmt.Errorf("decode licenses: package %d has no name or no purl", i)
		}
		if one.License == "" {
			out.Packages[i].License = noAssertion
		}
		for _, text := range one.Texts {
			if _, ok := out.Texts[text]; !ok {
				return licenses{}, fmt.Errorf("decode licenses: the text %q of %s is missing", text, one.Name)
			}
		}
	}
	slices.SortFunc(out.Packages, compare)
	return out, nil
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
