// Package golden turns what a renderer made into a comparison with a file that people review.
// Used by the tests of every renderer; UPDATE_GOLDEN=1 rewrites the files.
package golden

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// Equal fails the test with a diff unless the file at path holds got.
// With the environment variable UPDATE_GOLDEN set it writes the file instead.
func Equal(t testing.TB, path string, got []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatalf("create directory of golden file: %v", err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatalf("write golden file: %v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read golden file (UPDATE_GOLDEN=1 writes it): %v", err)
	}
	// Line by line, so that the diff shows the lines that differ and not one long string.
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s differs (-want +got; UPDATE_GOLDEN=1 accepts it):\n%s", path, diff)
	}
}

// YAML renders objects as a YAML stream in the given order, without empty status and creationTimestamp.
func YAML(t testing.TB, objects ...any) []byte {
	t.Helper()
	var out bytes.Buffer
	for i, object := range objects {
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(document(t, object))
	}
	return out.Bytes()
}

func document(t testing.TB, object any) []byte {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatalf("encode %T: %v", object, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // large integers stay integers
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		t.Fatalf("decode %T: %v", object, err)
	}
	strip(tree)
	if raw, err = json.Marshal(tree); err != nil {
		t.Fatalf("encode %T: %v", object, err)
	}
	out, err := yaml.JSONToYAML(raw)
	if err != nil {
		t.Fatalf("render %T as YAML: %v", object, err)
	}
	return out
}

// strip removes from every object in the tree what Go's encoding of Kubernetes types adds and nobody wrote.
func strip(tree any) {
	switch node := tree.(type) {
	case map[string]any:
		if created, ok := node["creationTimestamp"]; ok && created == nil {
			delete(node, "creationTimestamp")
		}
		if status, ok := node["status"].(map[string]any); ok && empty(status) {
			delete(node, "status")
		}
		for _, child := range node {
			strip(child)
		}
	case []any:
		for _, child := range node {
			strip(child)
		}
	}
}

// empty says that a tree holds nothing but nulls and other empty objects.
func empty(tree map[string]any) bool {
	for _, value := range tree {
		child, isObject := value.(map[string]any)
		if value != nil && (!isObject || !empty(child)) {
			return false
		}
	}
	return true
}
