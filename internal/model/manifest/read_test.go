package manifest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

const shoots = "../../../test/testdata/shoots"

// equal compares sets without Origins; an empty list is as good as none.
func equal(t testing.TB, what string, want, got manifest.Set) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(manifest.Set{}, "Origins"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// directories are the folders of one below test/testdata.
func directories(t *testing.T, root string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "*", "README.md"))
	if err != nil || len(found) < 10 {
		t.Fatalf("found %d directories below %s: %v", len(found), root, err)
	}
	var out []string
	for _, readme := range found {
		out = append(out, filepath.Dir(readme))
	}
	return out
}

func TestReadShoots(t *testing.T) {
	for _, directory := range directories(t, shoots) {
		t.Run(filepath.Base(directory), func(t *testing.T) {
			set, err := manifest.Read(os.DirFS(directory))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Origins) < 3 || set.Origins[set.Shoot].File == "" || set.Origins[set.Shoot].Document == 0 {
				t.Errorf("origins are %v", set.Origins)
			}
			raw, err := manifest.Encode(set)
			if err != nil {
				t.Fatal(err)
			}
			again, err := manifest.Decode(raw)
			if err != nil {
				t.Fatalf("%v in\n%s", err, raw)
			}
			equal(t, "written and read again", set, again)
		})
	}
}

func TestReadWhatIsInThere(t *testing.T) {
	read := func(name string) manifest.Set {
		set, err := manifest.Read(os.DirFS(filepath.Join(shoots, name)))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	foreign := read("foreign-provider")
	if n := len(foreign.ControllerRegistrations); n != 2 || len(foreign.Extensions) != 1 || len(foreign.ControllerDeployments) != 2 {
		t.Errorf("foreign-provider: %d registrations, %d extensions, %d deployments", n, len(foreign.Extensions), len(foreign.ControllerDeployments))
	}
	older := foreign.ControllerDeployments[0]
	if older.Name != "os-older" || older.APIVersion != "core.gardener.cloud/v1" || len(older.Helm.RawChart) == 0 || string(older.Helm.Values.Raw) != `{"replicaCount":2}` {
		t.Errorf("the older ControllerDeployment is read as %+v", older)
	}
	if got := string(foreign.ControllerDeployments[1].Helm.Values.Raw); got != `{"note":"a < b && c > d","replicaCount":1}` {
		t.Errorf("values are %s", got)
	}

	restored := read("restored")
	want := gardencore.ShootStatus{
		TechnicalID: "shoot--garden--depot", UID: "0b2d2a63-7e2c-4e29-9d51-5d4f1d1c9d3e",
		ClusterIdentity: restored.Shoot.Status.ClusterIdentity, Credentials: restored.Shoot.Status.Credentials,
	}
	if diff := cmp.Diff(want, restored.Shoot.Status); diff != "" || want.ClusterIdentity == nil || want.Credentials == nil {
		t.Errorf("status of a restored Shoot (-want +got):\n%s", diff)
	}
	if restored.ShootState == nil {
		t.Error("the ShootState is missing")
	}

	plant := read("plant-floor")
	secret := plant.Secret("garden", "registry-credentials")
	if secret == nil || string(secret.Data["password"]) != "not-a-real-password" || secret.StringData != nil {
		t.Errorf("stringData is not in data: %v", secret)
	}
	export := read("air-gap")
	if export.Project.UID != "" || export.CloudProfile.ManagedFields != nil || len(export.Shoot.Annotations) != 1 {
		t.Error("what the server and kubectl filled in is still there")
	}
	if origin := plant.Origins[secret]; origin != (manifest.Origin{File: "registries.yaml", Document: 2}) {
		t.Errorf("origin is %v", origin)
	}
}

// Each directory's expected.txt is what a person reads.
func TestReadRefused(t *testing.T) {
	for _, directory := range directories(t, shoots+"-refused") {
		t.Run(filepath.Base(directory), func(t *testing.T) {
			_, err := manifest.Read(os.DirFS(directory))
			var problems manifest.Problems
			if !errors.As(err, &problems) || fault.ClassOf(err) != fault.Usage {
				t.Fatalf("got %v, want problems", err)
			}
			golden.Equal(t, filepath.Join(directory, "expected.txt"), []byte(problems.Error()+"\n"))
		})
	}
}

// What can be said instead is the fix, and no problem of its own.
func TestReadNamesTheKinds(t *testing.T) {
	_, err := manifest.Read(fstest.MapFS{"a.yaml": {Data: builtin(t)}, "b.yaml": {Data: []byte("{apiVersion: v1, kind: Pod, metadata: {name: a}}")}})
	var problems manifest.Problems
	faults := fault.Of(err)
	if !errors.As(err, &problems) || len(problems) != 1 || len(faults) != 1 {
		t.Fatalf("got %v, want one problem", err)
	}
	if !strings.Contains(faults[0].Fix, "CloudProfile, Project, Shoot,") {
		t.Errorf("the fix does not name the kinds: %s", faults[0].Fix)
	}
}

// builtin is a complete directory.
func builtin(t testing.TB) []byte {
	t.Helper()
	raw, err := manifest.Encode(manifest.Builtin(manifest.DefaultNodes()))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestReadIsDeterministic(t *testing.T) {
	one := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: garden}\n"
	two := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: garden}\n"
	var sets []manifest.Set
	for _, files := range []fstest.MapFS{
		{"x.yaml": {Data: builtin(t)}, "a.yaml": {Data: []byte(one)}, "b.yaml": {Data: []byte(two)}},
		{"x.yaml": {Data: builtin(t)}, "deep/er/c.yml": {Data: []byte(one + "---\n" + two)}},
	} {
		set, err := manifest.Read(files)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, set)
	}
	equal(t, "how objects are spread over files must change nothing", sets[0], sets[1])
	if sets[0].ConfigMaps[0].Name != "a" {
		t.Error("lists are not ordered by name")
	}
}

// Kubernetes mounts a ConfigMap as links through hidden directories.
func TestReadConfigMapMount(t *testing.T) {
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(root, "..2026_01_02"), 0o755))
	must(os.WriteFile(filepath.Join(root, "..2026_01_02", "all.yaml"), builtin(t), 0o644))
	must(os.Symlink("..2026_01_02", filepath.Join(root, "..data")))
	must(os.Symlink("..data/all.yaml", filepath.Join(root, "all.yaml")))
	set, err := manifest.Read(os.DirFS(root))
	must(err)
	if len(set.Origins) != 3 {
		t.Errorf("read %d objects, want 3", len(set.Origins))
	}

	must(os.Symlink("..2026_01_02", filepath.Join(root, "more")))
	must(os.Symlink("nowhere", filepath.Join(root, "gone.yaml")))
	_, err = manifest.Read(os.DirFS(root))
	for _, want := range []string{"more: is a link to a directory", "gone.yaml: cannot be read: no such file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestReadBounds(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		n, next := string(rune('0'+i)), string(rune('1'+i))
		bomb += "a" + next + ": &a" + next + " [*a" + n + strings.Repeat(", *a"+n, 9) + "]\n"
	}
	many := fstest.MapFS{}
	for i := range 1001 {
		many[strings.Repeat("a", i/100+1)+string(rune('a'+i%26))+strings.Repeat("b", i%100)+".yaml"] = &fstest.MapFile{}
	}
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"empty directory":       {fstest.MapFS{"README.md": {}}, "no file ends .yaml, .yml or .json"},
		"too large":             {fstest.MapFS{"a.yaml": {Data: make([]byte, 10<<20+1)}}, "a.yaml: is larger than 10 MiB"},
		"too many":              {many, "more than 1000 manifests"},
		"named pipe":            {fstest.MapFS{"a.yaml": {Mode: fs.ModeNamedPipe}}, "a.yaml: is not a regular file"},
		"billion laughs":        {fstest.MapFS{"a.yaml": {Data: []byte(bomb)}}, "too large or too deep once its aliases"},
		"long strings, aliased": {fstest.MapFS{"a.yaml": {Data: []byte("a: &a " + strings.Repeat("x", 1<<20) + "\nb: [*a" + strings.Repeat(", *a", 99) + "]\n")}}, "too large or too deep"},
		"alias of itself":       {fstest.MapFS{"a.yaml": {Data: []byte("a: &a\n  b: *a\n")}}, "too large or too deep"},
		"deep":                  {fstest.MapFS{"a.yaml": {Data: []byte("a: " + strings.Repeat("[", 2000) + strings.Repeat("]", 2000))}}, "too large or too deep"},
		"deep JSON":             {fstest.MapFS{"a.json": {Data: []byte(strings.Repeat("[", 20000) + strings.Repeat("]", 20000))}}, "exceeded max depth"},
	} {
		_, err := manifest.Read(c.files)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
