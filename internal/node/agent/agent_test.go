package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

const etcdManifest = `apiVersion: v1
kind: Pod
metadata: {name: etcd-main}
spec:
  securityContext: {runAsUser: 65532, runAsGroup: 65532}
  containers:
  - name: etcd
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: certs, mountPath: /certs, readOnly: true}
  volumes:
  - name: data
    hostPath: {path: /var/lib/etcd-main/data, type: DirectoryOrCreate}
  - name: certs
    hostPath: {path: /var/lib/static-pods/etcd-main/certs, type: DirectoryOrCreate}
`

func pointer[T any](v T) *T { return &v }

func inline(path, data string, mode uint32) extensionsv1alpha1.File {
	return extensionsv1alpha1.File{Path: path, Permissions: &mode, Content: extensionsv1alpha1.FileContent{
		Inline: &extensionsv1alpha1.FileContentInline{Encoding: "b64", Data: base64.StdEncoding.EncodeToString([]byte(data))}}}
}

func fromImage(path, image, inImage string) extensionsv1alpha1.File {
	return extensionsv1alpha1.File{Path: path, Permissions: pointer(uint32(0o755)), Content: extensionsv1alpha1.FileContent{
		ImageRef: &extensionsv1alpha1.FileContentImageRef{Image: image, FilePathInImage: inImage}}}
}

func service(name, content string, paths ...string) extensionsv1alpha1.Unit {
	return extensionsv1alpha1.Unit{Name: name, Content: pointer(content + "\n[Install]\nWantedBy=multi-user.target\n"), FilePaths: paths}
}

// first is a control plane node's configuration in small, second its successor.
func first() *extensionsv1alpha1.OperatingSystemConfig {
	osc := &extensionsv1alpha1.OperatingSystemConfig{}
	osc.Name = "node"
	osc.Spec.Files = []extensionsv1alpha1.File{
		inline("/etc/kubernetes/manifests/etcd-main.yaml", etcdManifest, 0o640),
		inline("/var/lib/static-pods/etcd-main/certs/tls.key", "SECRET-1", 0o640),
		inline("/etc/sysctl.d/99-k8s-general.conf", "a=1", 0o644),
		inline("/var/lib/kubelet/config/kubelet", "kind: KubeletConfiguration", 0o600),
		fromImage("/opt/bin/kubelet", "registry/hyperkube:1", "/kubelet"),
		fromImage("/opt/bin/kubectl", "registry/hyperkube:1", "/kubectl"),
		fromImage("/opt/bin/containerd", "registry/containerd:1", "/containerd"),
		inline("/opt/old", "old", 0o600),
	}
	containerd := service("containerd.service", "[Service]\nExecStart=/opt/bin/containerd", "/opt/bin/containerd")
	containerd.DropIns = []extensionsv1alpha1.DropIn{{Name: "10-old.conf", Content: "[Service]"}}
	osc.Spec.Units = []extensionsv1alpha1.Unit{
		{Name: "systemd-sysctl.service", Command: pointer(extensionsv1alpha1.CommandRestart), Enable: pointer(true), FilePaths: []string{"/etc/sysctl.d/99-k8s-general.conf"}},
		containerd,
		service("old.service", "[Service]\nExecStart=/opt/old"),
		service("kubelet.service", "[Service]\nExecStart=/opt/bin/kubelet", "/opt/bin/kubelet", "/var/lib/kubelet/config/kubelet"),
		service("once.service", "[Service]\nType=oneshot"),
		{Name: "unwanted.service", Command: pointer(extensionsv1alpha1.CommandStop), Enable: pointer(false)},
	}
	return osc
}

func second() *extensionsv1alpha1.OperatingSystemConfig {
	osc := first()
	osc.Spec.Files = slices.DeleteFunc(osc.Spec.Files, func(f extensionsv1alpha1.File) bool { return f.Path == "/opt/old" })
	osc.Spec.Files[1] = inline("/var/lib/static-pods/etcd-main/certs/tls.key", "SECRET-2", 0o640)
	osc.Spec.Files[2] = inline("/etc/sysctl.d/99-k8s-general.conf", "a=2", 0o644)
	osc.Spec.Files[4].Content.ImageRef.Image = "registry/hyperkube:2"
	osc.Spec.Files[5].Content.ImageRef.Image = "registry/hyperkube:2"
	osc.Spec.Units = slices.DeleteFunc(osc.Spec.Units, func(u extensionsv1alpha1.Unit) bool { return u.Name == "old.service" })
	osc.Spec.Units[1].DropIns = nil
	osc.Spec.Units = append(osc.Spec.Units, service("new.service", "[Service]\nExecStart=/opt/new"))
	return osc
}

func local(kubelet string) Local {
	return Local{
		Files: []extensionsv1alpha1.File{inline("/var/lib/kubelet/config.d/50-host.conf", kubelet, 0o644)},
		Units: []extensionsv1alpha1.Unit{
			{Name: "kubelet.service", FilePaths: []string{"/var/lib/kubelet/config.d/50-host.conf"},
				DropIns: []extensionsv1alpha1.DropIn{{Name: "50-host.conf", Content: "[Service]\nOOMScoreAdjust=-999\n"}}},
			{Name: "not-there.service", FilePaths: []string{"/var/lib/kubelet/config.d/50-host.conf"}},
		},
	}
}

func source() *images {
	return &images{
		digests: map[string]string{"registry/hyperkube:1": "sha256:aaa", "registry/hyperkube:2": "sha256:bbb", "registry/containerd:1": "sha256:ccc"},
		files: map[string]map[string]string{
			"registry/hyperkube:1":  {"/kubelet": "kubelet 1", "/kubectl": "kubectl 1"},
			"registry/hyperkube:2":  {"/kubelet": "kubelet 2", "/kubectl": "kubectl 2"},
			"registry/containerd:1": {"/containerd": "containerd 1"},
		},
	}
}

func want(t *testing.T, osc *extensionsv1alpha1.OperatingSystemConfig, local Local) Want {
	t.Helper()
	want, err := NewWant(osc, local, "node-0")
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestPlans(t *testing.T) {
	m := booted(t)
	golden.Equal(t, "testdata/1-fresh.plan", []byte(m.reconcile(want(t, first(), local("a"))).String()))
	golden.Equal(t, "testdata/2-update.plan", []byte(m.reconcile(want(t, second(), local("a"))).String()))
	golden.Equal(t, "testdata/3-local.plan", []byte(m.reconcile(want(t, second(), local("b"))).String()))
	golden.Equal(t, "testdata/4-local-gone.plan", []byte(m.reconcile(want(t, second(), Local{})).String()))

	ctx, h := context.Background(), m.Host()
	m.write("/opt/bin/kubelet", "someone else's")
	m.must(h.Files.Write(ctx, "/var/lib/kubelet/config/kubelet", strings.NewReader("kind: KubeletConfiguration"), 0o644))
	m.must(h.Files.MakeDir(ctx, "/var/lib/etcd-main/data", host.Owner{}, 0o755))
	m.must(h.Units.Stop(ctx, "containerd.service"))
	m.write("/etc/systemd/system/containerd.service.d/99-theirs.conf", "[Service]")
	golden.Equal(t, "testdata/5-drift.plan", []byte(m.reconcile(want(t, second(), Local{})).String()))

	golden.Equal(t, "testdata/6-nothing-wanted.plan", []byte(m.reconcile(want(t, &extensionsv1alpha1.OperatingSystemConfig{}, Local{})).String()))
	for _, info := range slices.Concat(m.files("/etc"), m.files("/opt")) {
		if !info.Mode.IsDir() && !strings.HasSuffix(info.Path, "99-theirs.conf") {
			t.Errorf("%s was left behind", info.Path)
		}
	}
}

func TestNothingChangedMakesNoChange(t *testing.T) {
	m := booted(t)
	for _, w := range []Want{want(t, first(), local("a")), want(t, second(), local("a")), want(t, second(), Local{})} {
		m.reconcile(w)
		m.ClearLog()
		images := source()
		plan, err := New(*m.Host(), images).Reconcile(context.Background(), w)
		if err != nil || !plan.Empty() || len(m.Log()) > 0 || images.extracts.Load() != 0 {
			t.Errorf("the second run changes something: %v\n%s%v", err, plan, m.Log())
		}
	}
}

func TestContentStaysOutOfPlanAndErrors(t *testing.T) {
	plan := booted(t).reconcile(want(t, first(), Local{}))
	if strings.Contains(plan.String(), "SECRET") {
		t.Error("the plan shows content")
	}
	osc := first()
	osc.Spec.Files[0].Content.Inline.Data = "SECRET!"
	osc.Spec.Files[1].Content.Inline.Encoding = "rot13"
	osc.Spec.Files[2].Content = extensionsv1alpha1.FileContent{SecretRef: &extensionsv1alpha1.FileContentSecretRef{Name: "s", DataKey: "k"}}
	_, err := NewWant(osc, Local{}, "node-0")
	for _, part := range []string{"etcd-main.yaml: decode base64", "tls.key: encoding \"rot13\" is unknown", `content from Secret "s" is not supported`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "SECRET!") {
		t.Errorf("the error %q shows content", err)
	}
}

// TestKilledAnywhere kills the agent before every single change of an update and lets it run again.
func TestKilledAnywhere(t *testing.T) {
	updates := []struct {
		name     string
		from, to Want
	}{
		{"fresh", Want{}, want(t, first(), local("a"))},
		{"update", want(t, first(), local("a")), want(t, second(), local("b"))},
		{"back", want(t, second(), local("b")), want(t, first(), local("a"))},
		{"local gone", want(t, first(), local("a")), want(t, first(), Local{})},
		{"all gone", want(t, first(), local("a")), want(t, &extensionsv1alpha1.OperatingSystemConfig{}, Local{})},
	}
	for _, u := range updates {
		start := func(t *testing.T) *machine {
			m := booted(t)
			if u.from.Applied != nil {
				m.reconcile(u.from)
				m.ClearLog()
			}
			return m
		}
		whole := start(t)
		whole.reconcile(u.to)
		for n, line := range whole.Log() {
			t.Run(fmt.Sprintf("%s/before %d %s", u.name, n+1, line), func(t *testing.T) {
				m := start(t)
				m.kill(n + 1)
				if _, err := New(*m.Host(), source()).Reconcile(context.Background(), u.to); !errors.Is(err, errKilled) {
					t.Fatalf("the agent survived: %v", err)
				}
				m.revive()
				m.reconcile(u.to)
				units := slices.Concat(u.from.Units, u.to.Units)
				if whole.state(units) != m.state(units) {
					t.Errorf("the end differs:\n%s\n%s", whole.state(units), m.state(units))
				}
				compareRestarts(t, whole.Log(), m.Log(), units)
			})
		}
	}
}

// compareRestarts checks that the units which a whole run restarts were restarted after the last change of what they run with.
func compareRestarts(t *testing.T, whole, log []string, units []Unit) {
	t.Helper()
	slices.Reverse(log)
	for _, unit := range units {
		restart := "restart " + unit.Name
		if !slices.Contains(whole, restart) {
			continue
		}
		last := slices.Index(log, restart)
		if last < 0 {
			t.Errorf("%s was not restarted", unit.Name)
			continue
		}
		for _, line := range log[:last] {
			if fields := strings.Fields(line); (fields[0] == "write" || fields[0] == "remove") && slices.Contains(unit.Watch, fields[1]) {
				t.Errorf("%s after the last %s", line, restart)
			}
		}
	}
}

// TestKilledThenAnother: what an interrupted configuration put there goes when another one follows.
func TestKilledThenAnother(t *testing.T) {
	known := map[string]bool{}
	whole := booted(t)
	whole.reconcile(want(t, second(), Local{}))
	for _, info := range whole.files("/") {
		known[info.Path] = true
	}
	for n := 1; ; n++ {
		m := booted(t)
		m.kill(n)
		_, err := New(*m.Host(), source()).Reconcile(context.Background(), want(t, first(), local("a")))
		m.revive()
		m.reconcile(want(t, second(), Local{}))
		for _, info := range m.files("/") {
			if !info.Mode.IsDir() && !known[info.Path] {
				t.Errorf("killed before change %d: %s was left behind", n, info.Path)
			}
		}
		if err == nil {
			return
		}
	}
}

// TestUnitThatFails: the units after it run, and the next attempt restarts only what has to be.
func TestUnitThatFails(t *testing.T) {
	m := booted(t)
	m.reconcile(want(t, first(), Local{}))
	m.ClearLog()
	m.FailOn("restart containerd.service", errors.New("broken"))
	w := want(t, second(), Local{})
	if _, err := New(*m.Host(), source()).Reconcile(context.Background(), w); err == nil {
		t.Fatal("no error")
	}
	if log := strings.Join(m.Log(), "\n"); !strings.Contains(log, "restart kubelet.service") || strings.Contains(log, "write "+fileApplied) {
		t.Errorf("the units behind a failing one must run, but the configuration is not applied: %s", log)
	}
	m.ClearLog()
	m.FailOn("restart containerd.service", nil)
	m.reconcile(w)
	if !slices.Contains(m.Log(), "restart containerd.service") || slices.Contains(m.Log(), "restart kubelet.service") {
		t.Errorf("the second attempt restarts something else than what is left: %v", m.Log())
	}
}

// TestUntil starts units up to containerd first and the rest after that, as init does, and kills it everywhere.
func TestUntil(t *testing.T) {
	to := want(t, second(), local("b"))
	part := func(m *machine) error {
		_, err := New(*m.Host(), source()).ReconcileUntil(context.Background(), to, "containerd.service")
		return err
	}
	both := func(m *machine) error {
		if err := part(m); err != nil {
			return err
		}
		_, err := New(*m.Host(), source()).Reconcile(context.Background(), to)
		return err
	}
	start := func() *machine {
		m := booted(t)
		m.reconcile(want(t, first(), local("a")))
		m.ClearLog()
		return m
	}

	m := start()
	m.must(part(m))
	if !slices.Contains(m.Log(), "restart containerd.service") || slices.Contains(m.Log(), "restart kubelet.service") {
		t.Errorf("more or less than containerd was restarted: %v", m.Log())
	}
	whole := start()
	m.must(both(whole))
	for _, once := range []string{"restart containerd.service", "restart kubelet.service"} {
		if n := strings.Count(strings.Join(whole.Log(), "\n"), once); n != 1 {
			t.Errorf("%s %d times: %v", once, n, whole.Log())
		}
	}
	for n := range whole.Log() {
		m := start()
		m.kill(n + 1)
		if err := both(m); !errors.Is(err, errKilled) {
			t.Fatalf("the agent survived: %v", err)
		}
		m.revive()
		m.must(both(m))
		if units := to.Units; whole.state(units) != m.state(units) {
			t.Errorf("killed before change %d, the end differs:\n%s\n%s", n+1, whole.state(units), m.state(units))
		} else {
			compareRestarts(t, whole.Log(), m.Log(), units)
		}
	}
	whole.ClearLog()
	m.must(both(whole))
	if len(whole.Log()) > 0 {
		t.Errorf("the second run changes something: %v", whole.Log())
	}
}

// enabling counts the units of each call.
type enabling struct {
	host.Units
	calls [][]string
}

func (e *enabling) Enable(ctx context.Context, names ...string) error {
	e.calls = append(e.calls, names)
	return e.Units.Enable(ctx, names...)
}

// systemd reloads for each call, and reads all units of the machine for that.
func TestUnitsAreEnabledAtOnce(t *testing.T) {
	h := *booted(t).Host()
	counted := &enabling{Units: h.Units}
	h.Units = counted
	plan, err := New(h, source()).Reconcile(t.Context(), want(t, first(), local("a")))
	if err != nil {
		t.Fatal(err)
	}
	var planned []string
	for _, step := range plan.Steps {
		if step.Verb == Enable {
			planned = append(planned, step.Target)
		}
	}
	if len(planned) < 2 || len(counted.calls) != 1 || !slices.Equal(counted.calls[0], planned) {
		t.Errorf("enabled %q, want %q at once", counted.calls, planned)
	}
}
