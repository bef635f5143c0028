package cleanup_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

var errBoom = errors.New("boom")

// Whatever single change fails, the others are made, the failure is told, and another run does the rest.
func TestAnyFailure(t *testing.T) {
	t.Parallel()
	want := few(t)
	for n := 1; ; n++ {
		m := bare(t)
		m.becomeSo(want)
		m.FailAt(n, errBoom)
		err := cleanup.New(m.Host, options()).Run(t.Context(), nil)
		if made := len(m.Log()); err == nil && made < n {
			if n < 50 {
				t.Fatalf("only %d changes are made", made)
			}
			return
		}
		left := m.leftovers()
		// What the next step does without, and what a second look finds done, is no failure.
		if err != nil && (!errors.Is(err, errBoom) && !strings.Contains(err.Error(), "still mounted") || len(left) == 0) {
			t.Errorf("change %d fails: got %v, left %q", n, err, left)
		}
		m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
		if left := m.leftovers(); len(left) > 0 {
			t.Fatalf("change %d failed, and after another run is left:\n%s", n, strings.Join(left, "\n"))
		}
	}
}

// A run that is killed is simply run again.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	want := few(t)
	for n := 1; ; n++ {
		m := bare(t)
		m.becomeSo(want)
		m.FailAt(n, errBoom)
		killed := false
		for _, step := range cleanup.New(m.Host, options()).Steps() {
			if killed = step.Run(t.Context()) != nil; killed {
				break
			}
		}
		if !killed && len(m.Log()) < n {
			return
		}
		m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
		if left := m.leftovers(); len(left) > 0 {
			t.Fatalf("killed at change %d, and after another run is left:\n%s", n, strings.Join(left, "\n"))
		}
	}
}

// With half of the node gone or broken, the rest goes.
func TestHalfOfItMissing(t *testing.T) {
	for name, spoil := range map[string]func(machine){
		"the container runtime removes nothing": func(m machine) { m.FailOn("remove sandbox", errBoom) },
		"the container runtime does not answer": func(m machine) { m.FailOn("sandboxes", errBoom); m.FailOn("holdings", errBoom) },
		"the container runtime is down":         func(m machine) { m.must(m.Units.Stop(m.t.Context(), layout.UnitContainerd)) },
		"kubelet is gone":                       func(m machine) { m.must(m.Files.Remove(m.t.Context(), "/etc/systemd/system/kubelet.service")) },
		"nobody remembers what was applied":     func(m machine) { m.must(m.Files.Remove(m.t.Context(), layout.DirAgent)) },
		"kubelet failed": func(m machine) {
			m.SetUnit(layout.UnitKubelet, host.UnitState{Load: "loaded", Active: "failed", Sub: "failed"}, host.UnitRun{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := bare(t)
			m.become()
			spoil(m)
			m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
			m.wantNothingLeft()
		})
	}
}

// Without the memory of what was applied, and without the record, the names are enough for what hurts.
func TestNothingIsRemembered(t *testing.T) {
	for _, damage := range []func(machine){
		func(m machine) { m.write(layout.DirAgent+"/last-applied-osc.yaml", "\t no YAML") },
		func(m machine) { m.write(record.FileKept, "{") },
		func(m machine) {
			m.must(m.Files.Remove(m.t.Context(), layout.DirAgent))
			m.must(m.Files.Remove(m.t.Context(), record.FileKept))
		},
		func(m machine) { // a run of init that stopped early
			for _, file := range []string{layout.DirAgent, layout.DirContainerd, "/etc/cni", layout.FileKubeletBinary, layout.FileSysctl} {
				m.must(m.Files.Remove(m.t.Context(), file))
			}
		},
	} {
		m := bare(t)
		m.become()
		damage(m)
		_ = cleanup.New(m.Host, options()).Run(t.Context(), nil)
		now, err := record.Take(t.Context(), m.Host)
		m.must(err)
		for kind, item := range map[record.Kind]string{
			record.Unit: layout.UnitKubelet, record.Cgroup: "/kubepods.slice", record.Link: "cni0", record.Table: "ip kube-proxy",
			record.Route: "100.64.0.0/13 dev eth0 src 192.0.2.10",
		} {
			if now.Had(kind, item) {
				t.Errorf("%s %s is left", kind, item)
			}
		}
		for _, file := range []string{layout.DirKubelet, layout.DirContainerd, layout.DirSecrets, layout.DirEtcd, layout.FileAdminKubeconfig} {
			if m.there(file) {
				t.Errorf("%s is left", file)
			}
		}
	}
}

func TestDamagedMemoryIsTold(t *testing.T) {
	m := bare(t)
	m.become()
	m.write(record.FileKept, "{")
	if err := cleanup.New(m.Host, options()).Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), record.FileKept) {
		t.Errorf("got %v, want an error with the file's name", err)
	}
	if !m.there(record.FileKept) {
		t.Error("the record is gone, and nobody could look at it")
	}
}

// A run of init or join that was killed while it wrote the record has left no more than this, which also goes after the next run.
func TestKilledAtTheVeryBeginning(t *testing.T) {
	for name, again := range map[string]bool{"reset at once": false, "run again": true} {
		m := bare(t)
		m.write(layout.DirState+"/"+host.TempPrefix+"123", "half a record")
		if again {
			m.must(record.Keep(t.Context(), m.Host))
		}
		m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
		if names, err := m.Files.List(t.Context(), layout.DirState); len(names) > 0 {
			t.Errorf("%s: left %q (%v)", name, names, err)
		}
		work := cleanup.New(m.Host, options())
		m.must(work.Run(t.Context(), nil))
		if !work.Nothing() {
			t.Errorf("%s: the machine is a node for ever", name)
		}
		if again {
			m.wantNothingLeft()
		}
	}
}
