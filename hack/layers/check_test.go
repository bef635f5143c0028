package layers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg makes up a package: "x" is one of ours, "std:x" and "ext:x" are not, "test x" is imported by a test.
func pkg(path string, imports ...string) Package {
	p := Package{Path: path, Code: true}
	for _, s := range imports {
		i := Import{Ours: true, File: "x.go"}
		if rest, ok := strings.CutPrefix(s, "test "); ok {
			s, i.Test, i.File = rest, true, "x_test.go"
		}
		if rest, ok := strings.CutPrefix(s, "ext:"); ok {
			s, i.Ours = rest, false
		}
		i.Path = s
		p.Imports = append(p.Imports, i)
	}
	return p
}

func TestCheckAllows(t *testing.T) {
	wrong := Check([]Package{
		pkg("api/bundle/v1alpha1", "ext:k8s.io/apimachinery/pkg/apis/meta/v1"),
		pkg("internal/flow", "ext:context", "test internal/flow", "test ext:os", "test internal/golden"),
		pkg("internal/golden", "ext:os", "ext:testing"),
		pkg("internal/model/cluster", "internal/model/manifest", "ext:github.com/gardener/gardener/pkg/apis/core/v1beta1"),
		pkg("internal/secret", "ext:os", "internal/model/cluster"),
		pkg("internal/render/component", "internal/render/staticpod", "internal/model/image"),
		pkg("internal/render/component/etcd", "internal/render/component", "internal/render/component/etcd/gate", "test ext:os",
			"test internal/render/component/componenttest", "ext:k8s.io/client-go/tools/clientcmd/api/v1", "ext:time"),
		pkg("internal/render/component/componenttest", "internal/render/component"),
		pkg("internal/render/osc", "ext:github.com/coreos/go-systemd/v22/unit", "test internal/golden", "test ext:k8s.io/client-go/tools/clientcmd"),
		pkg("internal/render/catalog", "internal/render/component", "internal/render/component/etcd"),
		pkg("internal/node/host", "ext:os", "ext:os/exec", "ext:github.com/godbus/dbus/v5", "ext:github.com/containerd/containerd/v2/client"),
		pkg("internal/node/host/hosttest", "internal/node/host"),
		pkg("internal/node/agent", "internal/node/host", "test internal/node/host/hosttest", "test ext:os"),
		pkg("internal/kube/client", "ext:k8s.io/client-go/rest", "test test/integration/apiserver"),
		pkg("internal/etcd", "ext:os", "internal/secret"),
		pkg("internal/step/hoststep", "internal/node/agent", "internal/etcd", "internal/flow"),
		pkg("internal/step/apistep", "internal/kube/client"),
		pkg("internal/sequence/reconcile", "internal/step/apistep", "internal/flow", "internal/render/catalog"),
		pkg("internal/sequence", "internal/sequence/reconcile", "internal/step/hoststep", "test internal/node/host/hosttest"),
		pkg("internal/cli/progress", "internal/flow", "ext:os"),
		pkg("cmd/gardenadm", "internal/cli"),
		pkg("hack/apigen", "internal/cli", "ext:os/exec"),
		pkg("test/e2e", "api/bundle/v1alpha1", "test/machine", "ext:os/exec"),
		pkg("test/integration", "internal/kube/client", "test/machine"),
	})
	if len(wrong) > 0 {
		t.Errorf("what is allowed is found wrong:\n%s", strings.Join(wrong, "\n"))
	}
}

func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     string
	}{
		{"api/bundle/v1", "internal/model/cluster", "internal/model stands after api"},
		{"internal/flow", "api/bundle/v1", "strangers"},
		{"internal/flow", "internal/flow/x", "library of its own"},
		{"internal/flow", "test ext:github.com/stretchr/testify", "library of its own"},
		{"internal/model/cluster", "internal/secret", "stands after"},
		{"internal/kube/client", "internal/node/host", "internal/kube and internal/node are strangers"},
		{"internal/etcd", "test internal/kube/client", "strangers"},
		{"internal/sequence/reconcile", "internal/sequence", "internal/sequence stands after internal/sequence/reconcile"},
		{"internal/sequence/reconcile", "internal/step/hoststep", "through the API alone"},
		{"internal/sequence/reconcile", "test internal/node/host/hosttest", "through the API alone"},
		{"internal/cli", "cmd/gardenadm", "stands after"},
		{"internal/cli", "test/machine", "nothing of hack/ and test/"},
		{"internal/sequence", "internal/node/host/hosttest", "it is for tests only"},
		{"internal/render/osc", "internal/golden", "it is for tests only"},
		{"internal/golden", "internal/flow", "stands below them all"},
		{"internal/util", "internal/flow", "is in no layer"},
		{"pkg/x", "ext:fmt", "is in no layer"},
		{"internal/render/component", "internal/render/component/etcd", "knows no component"},
		{"internal/render/component/etcd", "internal/render/component/coredns", "strangers to each other"},
		{"internal/render/component/etcd", "internal/render/catalog", "strangers to each other"},
		{"internal/render/osc", "ext:os", "render is pure"},
		{"internal/render/osc", "ext:net/http", "render is pure"},
		{"internal/render/osc", "ext:crypto/rand", "render is pure"},
		{"internal/render/catalog", "ext:sigs.k8s.io/controller-runtime/pkg/client", "render has no client"},
		{"internal/render/catalog", "ext:k8s.io/client-go/kubernetes", "render has no client"},
		{"internal/model/manifest", "ext:os", "touch files"},
		{"internal/node/agent", "ext:os", "touch files"},
		{"internal/cli", "ext:os/exec", "only node/host starts programs"},
		{"internal/node/proxy", "ext:github.com/vishvananda/netlink", "only node/host talks"},
		{"internal/node/mirror", "ext:github.com/containerd/containerd/v2/client", "only node/host talks"},
		{"internal/step/hoststep", "test ext:github.com/coreos/go-systemd/v22/dbus", "only node/host talks"},
		{"hack/apigen", "ext:github.com/gardener/gardener/pkg/utils", "only the types in pkg/apis"},
		{"internal/kube/client", "ext:github.com/gardener/gardener/pkg/apisx", "only the types in pkg/apis"},
		{"test/integration", "ext:k8s.io/kubernetes/cmd/kubeadm/app", "upstream/kubernetes"},
		{"test/e2e", "test internal/cli", "drives the binary"},
		{"test/e2e/story", "internal/flow", "drives the binary"},
	} {
		wrong := strings.Join(Check([]Package{pkg(c.from, c.to)}), "\n")
		if !strings.Contains(wrong, c.want) {
			t.Errorf("%s imports %s: found %q, want something with %q", c.from, c.to, wrong, c.want)
		}
	}
}

func TestCheckFindsTheWayAround(t *testing.T) {
	wrong := Check([]Package{
		pkg("internal/sequence/reconcile", "internal/step/apistep"),
		pkg("internal/step/apistep", "internal/bundle"),
		pkg("internal/bundle", "internal/node/host"),
	})
	want := "internal/sequence/reconcile imports internal/step/apistep imports internal/bundle imports internal/node/host: "
	if len(wrong) != 1 || !strings.HasPrefix(wrong[0], want) {
		t.Errorf("found %q", wrong)
	}
}

func TestCheckDocs(t *testing.T) {
	for doc, good := range map[string]bool{
		"Package etcd turns a journal into members.\nUsed by step.\n":           true,
		"Package etcd turns a journal\ninto members.\n\nMore.\nUsed by step.\n": true,
		"Package etcd turns a journal into members.\n":                          false,
		"Package other turns a journal into members.\nUsed by step.\n":          false,
		"Package etcd \nUsed by step.\n":                                        false,
		"":                                                                      false,
	} {
		p := Package{Path: "internal/etcd", Name: "etcd", Doc: doc, Code: true}
		if wrong := CheckDocs([]Package{p}); (len(wrong) == 0) != good {
			t.Errorf("doc %q: found %q", doc, wrong)
		}
	}
}

func TestCheckGoMod(t *testing.T) {
	const etcd36 = "require (\n\tgo.etcd.io/etcd/server/v3 v3.6.16\n)"
	const old = "require k8s.io/api v0.36.3\nrequire (\n\tk8s.io/klog/v2 v2.140.0 // indirect\n\tk8s.io/utils v0.0.0-20260707023825-cf1189d6abe3\n)"
	for _, c := range []struct {
		mod, etcd string
		wrong     int
	}{
		{old, etcd36, 0},
		{old + "\nrequire k8s.io/client-go v0.37.0", etcd36, 1},
		{old + "\nrequire (\n\tk8s.io/client-go v0.37.0-rc.1\n\tk8s.io/kubelet v0.38.1 // indirect\n)", etcd36, 2},
		{old + "\nreplace k8s.io/api => k8s.io/api v0.37.0", etcd36, 1},
		{"require k8s.io/api v0.37.0", "require go.etcd.io/etcd/server/v3 v3.7.0 // not v3.6.16", 0},
		{"require k8s.io/api v0.37.0", "", 0},
	} {
		if wrong := CheckGoMod(c.mod, c.etcd); len(wrong) != c.wrong {
			t.Errorf("go.mod %q with etcd %q: found %q, want %d", c.mod, c.etcd, wrong, c.wrong)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"internal/a/a.go":          "// Package a turns x into y.\n// Used by b.\npackage a\n\nimport _ \"os\"\n",
		"internal/a/other.go":      "//go:build windows\n\npackage a\n\nimport _ \"" + Module + "/internal/b\"\n\nfunc broken( {\n",
		"internal/a/a_test.go":     "package a_test\n\nimport _ \"testing\"\n",
		"internal/a/testdata/t.go": "package t\n",
		"upstream/etcd/go.mod":     "module x\n",
		"upstream/etcd/main.go":    "package main\n",
		"test/only/only_test.go":   "// Package only is no code.\npackage only\n",
		".local/hidden.go":         "package hidden\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 2 || packages[0].Path != "internal/a" || packages[1].Path != "test/only" || packages[1].Code {
		t.Fatalf("packages: %+v", packages)
	}
	want := []Import{
		{Path: "internal/b", Ours: true, File: "other.go"},
		{Path: "os", File: "a.go"},
		{Path: "testing", File: "a_test.go", Test: true},
	}
	if a := packages[0]; !slices.Equal(a.Imports, want) || a.Name != "a" || len(CheckDocs(packages)) != 0 {
		t.Errorf("package: %+v", a)
	}
}
