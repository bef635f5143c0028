package layers

import (
	"os"
	"path/filepath"
	"testing"
)

const root = "../.."

func TestLayers(t *testing.T) {
	for _, w := range Check(tree(t)) {
		t.Error(w)
	}
}

func TestPackageDocs(t *testing.T) {
	for _, w := range CheckDocs(tree(t)) {
		t.Error(w)
	}
}

func TestKubernetesLibrariesStayWithEtcd(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	etcd, err := os.ReadFile(filepath.Join(root, "upstream", "etcd", "go.mod"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, w := range CheckGoMod(string(mod), string(etcd)) {
		t.Error(w)
	}
}

func tree(t *testing.T) []Package {
	t.Helper()
	packages, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		if p.Path == "hack/layers" {
			return packages
		}
	}
	t.Fatalf("the tree at %s is not this module: it has no hack/layers", root)
	return nil
}
