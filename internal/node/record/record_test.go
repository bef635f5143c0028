package record_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/record"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine has a little of each kind.
func machine(t *testing.T) (*hosttest.Fake, *host.Host) {
	t.Helper()
	fake := hosttest.New()
	h, ctx := fake.Host(), t.Context()
	for file, content := range map[string]string{
		"/etc/systemd/system/own.service": "[Service]\nExecStart=/bin/x\n[Install]\n", "/etc/sysctl.d/10.conf": "a=1\n", "/var/log/syslog": "line\n",
		"/root/.bashrc": "alias l=ls\n",
	} {
		must(t, h.Files.Write(ctx, file, strings.NewReader(content), 0o640))
	}
	must(t, h.Files.Symlink(ctx, "/lib/x.service", "/etc/systemd/system/alias.service"))
	must(t, h.Units.Reload(ctx))
	must(t, h.Units.Start(ctx, "own.service"))
	fake.Leave(hosttest.Leftovers{
		Modules: []string{"xfs"}, Tables: []host.Table{{Family: "inet", Name: "firewalld", Chains: []string{"input"}, Rules: 3, SHA256: "0123"}},
		Settings: map[string]string{"kernel/random/uuid": "1", "kernel/hostname": "m", "net/ipv4/tcp_rmem": "4096\t131072\t6291456"},
	})
	fake.ClearLog()
	return fake, h
}

func take(t *testing.T, h *host.Host) *record.Record {
	t.Helper()
	taken, err := record.Take(t.Context(), h)
	must(t, err)
	return taken
}

func TestRecord(t *testing.T) {
	fake, h := machine(t)
	golden.Equal(t, "testdata/record.yaml", golden.YAML(t, take(t, h)))
	if log := fake.Log(); len(log) > 0 {
		t.Errorf("it changed %q", log)
	}
	first, err := json.Marshal(take(t, h))
	must(t, err)
	again, err := json.Marshal(take(t, h))
	must(t, err)
	if string(first) != string(again) {
		t.Error("two records of one machine differ")
	}
	if differences := record.Diff(take(t, h), take(t, h)); len(differences) > 0 {
		t.Errorf("two records of one machine differ: %v", differences)
	}
}

// A node differs from its machine in every kind; what is no leftover is told with a reason.
func TestDiff(t *testing.T) {
	fake, h := machine(t)
	before := take(t, h)
	ctx := t.Context()
	fake.LeaveNode()
	must(t, h.Files.Write(ctx, "/etc/systemd/system/own.service", strings.NewReader("changed"), 0o644))
	must(t, h.Files.Remove(ctx, "/etc/sysctl.d/10.conf"))
	must(t, h.Files.Write(ctx, layout.FileLock, strings.NewReader(""), 0o600))
	must(t, h.Files.Write(ctx, "/etc/other/file", strings.NewReader(""), 0o600))
	must(t, h.Files.Write(ctx, "/var/lib/gardener-x/file", strings.NewReader(""), 0o600))
	must(t, h.Kernel.Set(ctx, "net/ipv4/ip_forward", "1"))
	fake.SetUnit(layout.UnitKubelet, host.UnitState{Active: "failed", Sub: "failed"}, host.UnitRun{})
	fake.SetUnit("session-3.scope", host.UnitState{Active: "active", Sub: "running"}, host.UnitRun{})
	fake.SetUnit("postgresql.service", host.UnitState{Load: "loaded", Active: "active", Sub: "running"}, host.UnitRun{})
	fake.Leave(hosttest.Leftovers{
		Links:  []host.Link{{Name: "docker0", Kind: "bridge"}, {Name: "veth1234567", Kind: "veth", Master: "docker0"}},
		Tables: []host.Table{{Family: "ip", Name: "filter", Chains: []string{"KUBE-FIREWALL"}, SHA256: "4567"}},
		Mounts: []host.Mount{{Path: "/run/user/1000", Type: "tmpfs", Source: "tmpfs"}, {Path: "/srv", Type: "nfs4", Source: "x:/"}},
	})
	must(t, h.Tables.Delete(ctx, "inet", "firewalld"))
	fake.Leave(hosttest.Leftovers{Tables: []host.Table{{Family: "inet", Name: "firewalld", Chains: []string{"input", "KUBE-X"}, Rules: 4, SHA256: "89ab"}}})

	var lines []string
	for _, one := range record.Diff(before, take(t, h)) {
		lines = append(lines, one.String())
	}
	golden.Equal(t, "testdata/diff.txt", []byte(strings.Join(lines, "\n")+"\n"))
}

func TestWhatIsGoneIsALeftover(t *testing.T) {
	fake, h := machine(t)
	fake.LeaveNode()
	before := take(t, h)
	ctx := t.Context()
	must(t, h.Mounts.Unmount(ctx, "/run"))
	must(t, h.Links.Delete(ctx, "cni0"))
	must(t, h.Tables.Delete(ctx, "ip", "kube-proxy"))
	must(t, h.Units.Stop(ctx, "own.service"))
	must(t, h.Files.Remove(ctx, "/etc/systemd/system/own.service"))
	var gone []record.Kind
	for _, one := range record.Leftovers(record.Diff(before, take(t, h))) {
		if one.Change == record.Added {
			t.Errorf("%s", one)
		}
		gone = append(gone, one.Kind)
	}
	for _, kind := range []record.Kind{record.File, record.Mount, record.Unit, record.Link, record.Address, record.Table} {
		if !slices.Contains(gone, kind) {
			t.Errorf("of kind %s nothing is told to be gone", kind)
		}
	}
}

// What cannot be read is told, neither taken for nothing nor fatal.
func TestUnread(t *testing.T) {
	_, h := machine(t)
	whole := take(t, h)
	for look, kind := range map[string]record.Kind{
		"walk /etc/systemd": record.File, "stat /etc/sysctl.d/10.conf": record.File, "mounts": record.Mount, "units": record.Unit,
		"processes": record.Process, "cgroups": record.Cgroup, "state containerd.service": record.Image, "list /run/netns": record.Namespace,
		"links": record.Link, "addresses": record.Address, "hops": record.Route, "rules": record.Rule, "tables": record.Chain,
		"settings": record.Setting, "modules": record.Module,
	} {
		fake, h := machine(t)
		fake.FailOn(look, errors.New("input/output error"))
		part := take(t, h)
		if !strings.Contains(part.Unread[kind], "input/output error") {
			t.Errorf("%s fails: unread is %v", look, part.Unread)
		}
		for _, differences := range [][]record.Difference{record.Diff(whole, part), record.Diff(part, whole)} {
			told := slices.ContainsFunc(record.Leftovers(differences), func(d record.Difference) bool { return d.Kind == kind && d.Change == record.Unread })
			if !told {
				t.Errorf("%s fails, which the difference does not tell", look)
			}
		}
	}
}

func TestTell(t *testing.T) {
	_, h := machine(t)
	must(t, h.Files.Write(t.Context(), "/etc/ssl/certs/x", strings.NewReader(""), 0o644))
	must(t, h.Files.Write(t.Context(), layout.DirKubelet+"/pods/uid/x", strings.NewReader(""), 0o644))
	taken := take(t, h)
	for file, want := range map[string]record.Told{
		"/etc": record.There, "/etc/sysctl.d/10.conf": record.There, "/etc/sysctl.d/11.conf": record.Absent, "/etc/cni/net.d": record.Absent,
		"/etc/new": record.Absent, "/etc/new/below/it": record.Absent, "/etc/ssl/certs": record.Unknown, "/opt": record.Absent,
		layout.DirKubelet + "/pods": record.There, layout.DirKubelet + "/pods/uid": record.Unknown, layout.DirKubelet + "/plugins/a/b": record.Absent,
		layout.DirContainerd + "/a/b/c": record.Absent, "/srv/x": record.Unknown, "/": record.Unknown,
	} {
		if got := taken.Tell(file); got != want {
			t.Errorf("%s was %s, want %s", file, got, want)
		}
	}
	var none *record.Record
	if none.Tell("/etc") != record.Unknown || none.Had(record.Link, "lo") || !none.Held("k8s.io").Empty() {
		t.Error("no record knows something")
	}
}

func TestKeep(t *testing.T) {
	_, h := machine(t)
	ctx := t.Context()
	must(t, h.Files.Write(ctx, record.FileAside, strings.NewReader("of a former life"), 0o600))
	must(t, record.Keep(ctx, h))
	info, err := h.Files.Stat(ctx, record.FileKept)
	must(t, err)
	if dir, err := h.Files.Stat(ctx, layout.DirState); info.Mode != 0o600 || err != nil || dir.Mode.Perm() != 0o700 {
		t.Errorf("modes are %v and %v (%v)", info.Mode, dir.Mode, err)
	}
	kept, err := record.Load(ctx, h)
	must(t, err)
	if kept.Tell(layout.DirState) != record.Absent {
		t.Error("the record has itself in it")
	}
	// A run that was stopped and is made again must not take its own traces for what was there.
	must(t, h.Files.Write(ctx, "/etc/cni/net.d/x", strings.NewReader(""), 0o644))
	must(t, record.Keep(ctx, h))
	again, err := record.Load(ctx, h)
	must(t, err)
	if again.Tell("/etc/cni/net.d/x") != record.Absent {
		t.Error("the record was taken again")
	}

	must(t, record.PutAside(ctx, h))
	must(t, record.PutAside(ctx, h))
	if _, err := h.Files.Stat(ctx, record.FileKept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	differences, known, err := record.Verify(ctx, h)
	must(t, err)
	if left := fmt.Sprint(record.Leftovers(differences)); !known || !strings.Contains(left, "/etc/cni/net.d/x") || strings.Contains(left, "host-record") {
		t.Errorf("left (known: %v): %s", known, left)
	}
}

// A machine that is a node already has no record: it would take the node for what was there before.
func TestKeepOnANode(t *testing.T) {
	for _, sign := range []string{layout.FileShootUID, layout.DirAgent + "/last-applied-osc.yaml"} {
		_, h := machine(t)
		must(t, h.Files.Write(t.Context(), sign, strings.NewReader(""), 0o600))
		must(t, record.Keep(t.Context(), h))
		if kept, err := record.Load(t.Context(), h); kept != nil || err != nil {
			t.Errorf("with %s there is a record (%v)", sign, err)
		}
		if _, known, err := record.Verify(t.Context(), h); known || err != nil {
			t.Errorf("with %s there is something to be verified (%v)", sign, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, content := range map[string]string{"damaged": "{", "of another version": `{"version": 2}`} {
		_, h := machine(t)
		must(t, h.Files.Write(t.Context(), record.FileKept, strings.NewReader(content), 0o600))
		if _, err := record.Load(t.Context(), h); err == nil || !strings.Contains(err.Error(), record.FileKept) {
			t.Errorf("%s: got %v, want an error with the file's name", name, err)
		}
	}
}

// TestTablesWithoutAProgram: what no program of the machine made cannot be shown, and is no gap in the record. A program that fails is one.
func TestTablesWithoutAProgram(t *testing.T) {
	fake, h := machine(t)
	must(t, h.Files.Write(t.Context(), "/proc/net/ip_tables_names", strings.NewReader("filter\n"), 0o444))
	for cause, want := range map[error]bool{host.ErrNoProgram: false, errors.New("it has no rights"): true} {
		fake.OnRun("iptables-legacy-save", func(context.Context, host.Command) (host.Output, error) {
			return host.Output{}, &host.RunError{Program: "iptables-legacy-save", ExitCode: -1, Cause: cause}
		})
		if unread := take(t, h).Unread; (unread[record.Chain] != "") != want {
			t.Errorf("%v: unread is %v", cause, unread)
		}
	}
}
