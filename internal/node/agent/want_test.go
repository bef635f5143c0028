package agent

import (
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

func TestWantMerges(t *testing.T) {
	osc := &extensionsv1alpha1.OperatingSystemConfig{}
	here, elsewhere := inline("/etc/token", "here", 0o600), inline("/etc/token", "elsewhere", 0o600)
	here.HostName, elsewhere.HostName = pointer("node-0"), pointer("node-1")
	osc.Spec.Files = []extensionsv1alpha1.File{elsewhere, here, inline("/b", "spec", 0o600), {Path: "/a", Content: extensionsv1alpha1.FileContent{
		Inline: &extensionsv1alpha1.FileContentInline{Data: "plain"}}}}
	osc.Status.ExtensionFiles = []extensionsv1alpha1.File{inline("/b", "extension", 0o640)}
	osc.Spec.Units = []extensionsv1alpha1.Unit{service("x.service", "[Service]\nType=oneshot", "/b"), service("job.service", ""), service("job.timer", "")}
	osc.Status.ExtensionUnits = []extensionsv1alpha1.Unit{{Name: "x.service", FilePaths: []string{"/a"}, DropIns: []extensionsv1alpha1.DropIn{{Name: "1.conf", Content: "c"}}}}

	w := want(t, osc, Local{})
	var got []string
	for _, file := range w.Files {
		got = append(got, file.Path+" "+file.Mode.String()+" "+string(file.Data))
	}
	if s := strings.Join(got, ", "); s != "/a -rw------- plain, /b -rw-r----- extension, /etc/token -rw------- here" {
		t.Errorf("files: %s", s)
	}
	x := w.Units[0]
	if s := strings.Join(x.Watch, " "); s != "/a /b /etc/systemd/system/x.service /etc/systemd/system/x.service.d/1.conf" || x.Start != StartOnce {
		t.Errorf("unit: %s, starts %q", s, x.Start)
	}
	if w.Units[1].Start != StartTriggered || w.Units[2].Start != StartNow {
		t.Error("a service with a timer is started by that")
	}
	owned, err := ownedBy(w.Applied)
	if err != nil || strings.Join(owned.paths(), " ") != strings.Join(w.owned().paths(), " ") {
		t.Errorf("owned: %v, %v", owned, err)
	}
}

func TestWantRefuses(t *testing.T) {
	tests := map[string]extensionsv1alpha1.OperatingSystemConfigSpec{
		`file "etc/x"`:              {Files: []extensionsv1alpha1.File{inline("etc/x", "", 0o600)}},
		`file "/etc/../x"`:          {Files: []extensionsv1alpha1.File{inline("/etc/../x", "", 0o600)}},
		"nine permission bits":      {Files: []extensionsv1alpha1.File{inline("/etc/x", "", 0o4755)}},
		"exactly one of":            {Files: []extensionsv1alpha1.File{{Path: "/etc/x"}}},
		`unit "../x.service"`:       {Units: []extensionsv1alpha1.Unit{{Name: "../x.service"}}},
		`drop-in "/etc/x"`:          {Units: []extensionsv1alpha1.Unit{{Name: "x.service", DropIns: []extensionsv1alpha1.DropIn{{Name: "/etc/x"}}}}},
		"etcd-main.yaml: container": {Files: []extensionsv1alpha1.File{inline("/etc/kubernetes/manifests/etcd-main.yaml", twoUsers, 0o600)}},
	}
	for part, spec := range tests {
		if _, err := NewWant(&extensionsv1alpha1.OperatingSystemConfig{Spec: spec}, Local{}, "node-0"); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error %v lacks %s", err, part)
		}
	}
}

const twoUsers = `spec:
  containers:
  - {name: a, securityContext: {runAsUser: 1}, volumeMounts: [{name: v}]}
  - {name: b, securityContext: {runAsUser: 2}, volumeMounts: [{name: v}]}
  volumes:
  - {name: v, hostPath: {path: /v, type: DirectoryOrCreate}}
`

func TestWritableDirectories(t *testing.T) {
	manifest := `spec:
  securityContext: {runAsUser: 65532}
  initContainers:
  - {name: i, securityContext: {runAsUser: 7, runAsGroup: 8}, volumeMounts: [{name: init}]}
  containers:
  - {name: a, securityContext: {runAsNonRoot: true}, volumeMounts: [{name: z}, {name: ro, readOnly: true}, {name: file}, {name: any}]}
  volumes:
  - {name: z, hostPath: {path: /z, type: DirectoryOrCreate}}
  - {name: init, hostPath: {path: /init, type: DirectoryOrCreate}}
  - {name: ro, hostPath: {path: /ro, type: DirectoryOrCreate}}
  - {name: unused, hostPath: {path: /unused, type: DirectoryOrCreate}}
  - {name: file, hostPath: {path: /file, type: FileOrCreate}}
  - {name: any, hostPath: {path: /any}}
`
	got, err := WritableDirectories([]byte(manifest))
	if err != nil || len(got) != 2 ||
		got[0] != (staticpod.Directory{Path: "/init", UID: 7, GID: 8, Mode: 0o700}) ||
		got[1] != (staticpod.Directory{Path: "/z", UID: 65532, Mode: 0o700}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := WritableDirectories([]byte("spec: SECRET")); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("the error is %v", err)
	}
}
