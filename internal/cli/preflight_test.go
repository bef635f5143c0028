package cli

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
)

// The cluster to join is not the built-in one: only its own manifests tell its networks and what its workers allow.
func TestWhatPreflightKnowsOfTheCluster(t *testing.T) {
	towards := []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	input := func(dir string, controlPlane []netip.Addr) preflight.Input {
		t.Helper()
		in, _, err := preflightOptions{manifests: dir}.input(controlPlane)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	if in := input("", nil); len(in.Networks) != 2 || in.Peers != nil || in.Role == preflight.Worker {
		t.Errorf("of a first machine: %+v", in)
	}
	if in := input("", towards); len(in.Networks) != 0 || in.Role != preflight.Worker || !slices.Equal(in.Peers.Addresses, towards) {
		t.Errorf("of a machine that joins what nobody knows: %+v", in)
	}
	dir := workersWithSwap(t)
	if in := input(dir, towards); len(in.Networks) != 2 || !in.SwapAllowed || in.Role != preflight.Worker {
		t.Errorf("of a machine that joins the Shoot: %+v", in)
	}
	if in := input(dir, nil); in.SwapAllowed {
		t.Error("the control plane has the workers' swap")
	}
}

func TestPreflightTellsWhatAGardenWouldRefuse(t *testing.T) {
	_, notes, err := preflightOptions{manifests: shoots + "/five-nodes"}.input(nil)
	if err != nil || len(notes) == 0 || !strings.Contains(notes[0], "a garden wants exactly 1 control plane node") {
		t.Errorf("notes are %q, %v", notes, err)
	}
}

// workersWithSwap is a directory with a Shoot that allows swap on its workers alone.
func workersWithSwap(t *testing.T) string {
	t.Helper()
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Spec.Provider.Workers[1].Kubernetes = &gardencore.WorkerKubernetes{Kubelet: &gardencore.KubeletConfig{FailSwapOn: new(false)}}
	raw, err := manifest.Encode(set)
	dir := t.TempDir()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "all.yaml"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
