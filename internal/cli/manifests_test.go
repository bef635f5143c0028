package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

const shoots = "../../test/testdata/shoots"

func TestManifestsOfADirectory(t *testing.T) {
	unserved := func(what string) string {
		return "Warning: no ControllerRegistration or Extension among the manifests serves " + what + ": a garden that has none refuses the Shoot\n"
	}
	for name, want := range map[string]struct {
		args   []string
		stderr string
	}{
		"manifests-redacted.yaml":       {args: []string{"manifests", "-d", shoots + "/plant-floor"}},
		"manifests-redacted-state.yaml": {args: []string{"manifests", "-d", shoots + "/restored"}},
		"manifests-for-garden.yaml": {
			[]string{"manifests", "-d", shoots + "/foreign-provider", "--for-garden"},
			unserved("Infrastructure of type local") + unserved("Worker of type local"),
		},
		"manifests-builtin-garden.yaml": {args: []string{"manifests", "--for-garden"}},
	} {
		args := want.args
		code, out, stderr := run(t, args...)
		if code != 0 || stderr != want.stderr {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
		golden.Equal(t, "testdata/"+name, []byte(out))
		for _, secret := range []string{"not-a-real-password", "bm90LWEtcmVhbC1wYXNzd29yZA", "bm90IGEga2V5"} {
			if strings.Contains(out, secret) {
				t.Errorf("%v prints a secret", args)
			}
		}
	}
}

// With secrets, what is printed is the same cluster again.
func TestManifestsWithSecrets(t *testing.T) {
	directory := shoots + "/plant-floor"
	code, out, stderr := run(t, "manifests", "--config-dir", directory, "--show-secrets")
	if code != 0 || strings.Contains(out, manifest.Redacted) {
		t.Fatalf("exit code %d: %s\n%s", code, stderr, out)
	}
	want, err := manifest.Read(os.DirFS(directory))
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Decode([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(manifest.Set{}, "Origins"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("printed and read again (-want +got):\n%s", diff)
	}
}

func TestManifestsRefused(t *testing.T) {
	for directory, want := range map[string]string{
		shoots + "-refused/too-many":      "b/shoot.yaml, document 1: Shoot garden/there: only one Shoot is allowed",
		shoots + "-refused/nothing":       "no file ends .yaml, .yml or .json",
		filepath.Join(t.TempDir(), "no"):  "--config-dir: ",
		shoots + "/minimal/minimal.yaml":  "is not a directory",
		shoots + "-refused/wrong-kinds":   "GA-1002",
		shoots + "-refused/broken-yaml":   "near line 21",
		shoots + "-refused/wrong-types/.": "put it in quotes",
	} {
		code, out, stderr := run(t, "manifests", "-d", directory)
		if code != 2 || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %s; want %q", directory, code, out, stderr, want)
		}
	}
}

func TestAnnounce(t *testing.T) {
	var text, line bytes.Buffer
	announce(&text, "text")
	if text.String() != currentVersion().String()+"\n" {
		t.Errorf("got %q", text.String())
	}
	announce(&line, "json")
	var event struct {
		Event      string
		Kubernetes []string
	}
	if err := json.Unmarshal(line.Bytes(), &event); err != nil || event.Event != "version" || strings.Count(line.String(), "\n") != 1 {
		t.Errorf("got %v of %q", err, line.String())
	}
	if diff := cmp.Diff(manifest.SupportedKubernetes(), event.Kubernetes); diff != "" {
		t.Errorf("Kubernetes versions (-want +got):\n%s", diff)
	}
}
