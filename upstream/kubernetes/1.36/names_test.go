package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/kubeapiserver/options"
)

// namesFile is where gardenadm reads which names this version of Kubernetes knows.
const namesFile = "../../../internal/model/cluster/names/1.36.txt"

// TestNames: the file has the feature gates of all components, which are one program, and the API server's admission plugins and API groups.
// UPDATE_GOLDEN=1 writes it.
func TestNames(t *testing.T) {
	want := names(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(namesFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(namesFile); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not that of this version (%v): UPDATE_GOLDEN=1 go test . makes it anew", namesFile, err)
	}
}

func names(t *testing.T) []byte {
	t.Helper()
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes v(\S+)$`).FindSubmatch(module)
	if version == nil {
		t.Fatal("go.mod does not require k8s.io/kubernetes")
	}
	for _, command := range commands() { // some components register gates of their own
		command()
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "version %s\n", version[1])
	gates := utilfeature.DefaultMutableFeatureGate.GetAll()
	for _, gate := range slices.Sorted(maps.Keys(gates)) {
		if spec := gates[gate]; spec.LockToDefault {
			fmt.Fprintf(&out, "gate %s %t\n", gate, spec.Default)
		} else {
			fmt.Fprintf(&out, "gate %s\n", gate)
		}
	}
	for _, plugin := range slices.Sorted(slices.Values(options.AllOrderedPlugins)) {
		fmt.Fprintf(&out, "plugin %s\n", plugin)
	}
	groups := map[string]bool{}
	for _, scheme := range []*runtime.Scheme{legacyscheme.Scheme, apiextensions.Scheme, aggregator.Scheme} {
		for _, version := range scheme.PrioritizedVersionsAllGroups() {
			groups[version.Group] = true
		}
	}
	delete(groups, "") // the core group is written without a name
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(&out, "group %s\n", group)
	}
	return out.Bytes()
}
