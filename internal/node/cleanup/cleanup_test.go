package cleanup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

func TestGivesTheMachineBack(t *testing.T) {
	m := bare(t)
	m.become()
	if left := m.leftovers(); len(left) < 100 {
		t.Fatalf("a node differs from a machine only in:\n%s", strings.Join(left, "\n"))
	}
	var names []string
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), func(name string) { names = append(names, name) }))
	m.wantNothingLeft()
	if len(names) < 10 || !slices.Equal(names, stepNames()) {
		t.Errorf("steps are %q", names)
	}
	log := m.Log()
	order := []string{
		"stop " + layout.UnitKubelet, "remove sandbox pod1", "remove cgroup /kubepods.slice", "stop " + layout.UnitContainerd,
		"unmount /var/lib/kubelet/", "delete link cni0", "delete table ip kube-proxy", "set net/ipv4/ip_forward 0",
		"remove /etc/systemd/system/" + layout.UnitKubelet, "reload", "remove " + layout.FileKubeletBinary, "remove " + layout.DirEtcd,
		"restart " + layout.UnitJournald, "remove " + layout.DirAgent + "\n", "remove " + layout.FileGardenadm, "write " + record.FileAside, "remove " + record.FileKept,
	}
	for i := range order[1:] {
		if a, b := first(log, order[i]), first(log, order[i+1]); a < 0 || b < 0 || a > b {
			t.Errorf("%q is at %d, %q at %d", order[i], a, order[i+1], b)
		}
	}
	last := first(log, "remove "+layout.FileGardenadm)
	for _, line := range log[last+1:] {
		if !strings.Contains(line, layout.DirState) && !strings.Contains(line, record.FileAside) && line != "remove "+layout.DirBin {
			t.Errorf("%q comes after the program is gone", line)
		}
	}

	// Nothing is left to be done, and the proof holds.
	m.ClearLog()
	again := cleanup.New(m.Host, options())
	m.must(again.Run(t.Context(), nil))
	if log := m.Log(); len(log) > 0 || !again.Nothing() {
		t.Errorf("a second run does %q", log)
	}
	m.wantNothingLeft()

	// The machine becomes a node again, and stops being one again.
	m.become()
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
}

func stepNames() []string {
	var out []string
	for _, step := range cleanup.New(nil, cleanup.Options{}).Steps() {
		out = append(out, step.Name)
	}
	return out
}
