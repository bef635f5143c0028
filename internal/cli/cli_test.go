package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// runFlow returns the error of a flow with one step.
func runFlow(ctx context.Context, step flow.Step) error {
	g := flow.New("test")
	g.Add("work", step)
	return g.Run(ctx, nil)
}

func failing(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestExitCodeTellsTheClassOfAnError(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"none":                            {nil, 0},
		"any":                             {boom, 1},
		"any, of a flow":                  {runFlow(t.Context(), flow.Do(failing(boom))), 1},
		"usage":                           {usageError{boom}, 2},
		"usage, wrapped":                  {fmt.Errorf("read flags: %w", usageError{boom}), 2},
		"precondition":                    {preconditionError{boom}, 3},
		"precondition, of a flow":         {runFlow(t.Context(), flow.Do(failing(preconditionError{boom}))), 3},
		"timeout":                         {flow.ErrTimeout, 4},
		"cancelled":                       {flow.ErrCancelled, 130},
		"cancelled, of a flow":            {runFlow(cancelled, flow.Do(failing(boom))), 130},
		"a context's end that is no flow": {context.Canceled, 1},
	} {
		if got := ExitCode(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d (%v)", name, got, c.want, c.err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if err := runFlow(t.Context(), flow.Do(failing(boom)).Retry(time.Minute, time.Second)); ExitCode(err) != 4 {
			t.Errorf("a step that ran out of time: got %d, want 4 (%v)", ExitCode(err), err)
		}
		if err := runFlow(t.Context(), flow.Do(failing(preconditionError{boom})).Retry(time.Minute, time.Second)); ExitCode(err) != 3 {
			t.Errorf("a precondition that stayed unmet: got %d, want 3 (%v)", ExitCode(err), err)
		}
	})
}

// run runs the command line.
func run(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Execute(t.Context(), args, Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestMistakesInTheCommandLine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no-such-bundle")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"unknown flag":              {[]string{"--bogus"}, 2, "unknown flag: --bogus"},
		"unknown flag of a command": {[]string{"init", "--bogus"}, 2, "unknown flag: --bogus"},
		"unknown short flag":        {[]string{"version", "-x"}, 2, "unknown shorthand flag: 'x'"},
		"flag without value":        {[]string{"init", "--bundle"}, 2, "flag needs an argument: --bundle"},
		"unknown command":           {[]string{"bogus"}, 2, `unknown command "bogus"`},
		"argument of manifests":     {[]string{"manifests", "extra"}, 2, `unexpected argument "extra"`},
		"argument of version":       {[]string{"version", "extra"}, 2, `unexpected argument "extra"`},
		"argument of init":          {[]string{"init", "extra"}, 2, `unexpected argument "extra"`},
		"unknown output":            {[]string{"version", "-o", "xml"}, 2, `"xml"`},
		"init without bundle":       {[]string{"init"}, 2, "--bundle is missing"},
		"init, bad address":         {[]string{"init", "--bundle", missing, "--node-ip", "10.0.0"}, 2, `"10.0.0" is not an address`},
		"init, network for address": {[]string{"init", "--bundle", missing, "--node-ip", "10.0.0.0/16"}, 2, `"10.0.0.0/16" is not an address`},
		"init, unknown log format":  {[]string{"init", "--bundle", missing, "--log-format", "xml"}, 2, `"xml" is unknown`},
		"init, no such bundle":      {[]string{"init", "--bundle", missing}, 2, "GA-1003"},
		"variable that is not set":  {[]string{"manifests", "-d", ""}, 2, "--config-dir\" flag: it is empty"},
		"variable for a key":        {[]string{"init", "--bundle", missing, "--bundle-key", ""}, 2, "it is empty"},
		"variable for images":       {[]string{"bundle", "create", "--images=", "-o", missing}, 2, "it is empty"},
		"node-network, bad network": {[]string{"run", "node-network", "--services", "10.0.0.1"}, 2, `"10.0.0.1" is not a network`},
	} {
		code, out, err := run(t, c.args...)
		if code != c.code || out != "" {
			t.Errorf("%s: exit code %d and stdout %q, want %d and none (%s)", name, code, out, c.code, err)
		}
		if !strings.HasPrefix(strings.TrimPrefix(err, currentVersion().String()+"\n"), "Error: ") || !strings.Contains(err, c.want) {
			t.Errorf("%s: stderr is %q, want %q", name, err, c.want)
		}
	}
}

// A report about a refused manifest or flag says which version refused it; what scripts read has no such line.
func TestVersionIsToldFirst(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "missing"))
	refused := []string{"-d", shoots + "-refused/wrong-kinds"}
	for _, args := range [][]string{
		append([]string{"init", "--bundle", "missing"}, refused...),
		append([]string{"init", "--dry-run", "--bundle", "missing"}, refused...),
		append([]string{"preflight", "-o", "json"}, refused...),
		append([]string{"bundle", "create", "-o", filepath.Join(t.TempDir(), "x")}, refused...),
		{"node", "remove", "worker"}, {"token", "create", "--print-join-command"}, {"token", "delete", "abcdef"}, {"join", "192.0.2.1"},
	} {
		code, out, stderr := run(t, args...)
		if code == 0 || out != "" || strings.Count(stderr, "gardenadm devel (") != 1 || !strings.HasPrefix(stderr, currentVersion().String()+"\n") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, out, stderr)
		}
	}
	for _, args := range [][]string{{"token", "list", "-o", "json"}, {"status", "-o", "json"}, {"version", "-o", "json"}, {"token", "generate"}} {
		if _, out, stderr := run(t, args...); strings.Contains(out+stderr, "gardenadm devel (") {
			t.Errorf("%v: stdout %q, stderr %q", args, out, stderr)
		}
	}
}

func TestManifests(t *testing.T) {
	code, out, err := run(t, "manifests")
	if code != 0 || err != "" {
		t.Fatalf("exit code %d: %s", code, err)
	}
	golden.Equal(t, "testdata/manifests.yaml", []byte(out))
}

// What is printed is what init uses, and a user may hand it back.
func TestManifestsDecodeStrictly(t *testing.T) {
	_, out, _ := run(t, "manifests")
	want := manifest.Builtin(manifest.DefaultNodes())
	var set manifest.Set
	documents := strings.Split(out, "---\n")
	set.CloudProfile, set.Project, set.Shoot = &gardencore.CloudProfile{}, &gardencore.Project{}, &gardencore.Shoot{}
	into := []any{set.CloudProfile, set.Project, set.Shoot}
	if len(documents) != len(into) {
		t.Fatalf("%d documents, want %d", len(documents), len(into))
	}
	for i, document := range documents {
		if err := yaml.UnmarshalStrict([]byte(document), into[i]); err != nil {
			t.Errorf("document %d: %v", i, err)
		}
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("what is printed is not what init uses (-init +printed):\n%s", diff)
	}
}

func TestVersion(t *testing.T) {
	_, text, _ := run(t, "version")
	if !strings.HasPrefix(text, "gardenadm ") || !strings.Contains(text, "Kubernetes "+manifest.KubernetesVersion) {
		t.Errorf("version prints %q", text)
	}
	for output, decode := range map[string]func([]byte, any) error{
		"json": func(raw []byte, into any) error { return json.Unmarshal(raw, into) },
		"yaml": func(raw []byte, into any) error { return yaml.UnmarshalStrict(raw, into) },
	} {
		code, out, stderr := run(t, "version", "-o", output)
		var got versionInfo
		if err := decode([]byte(out), &got); code != 0 || stderr != "" || err != nil {
			t.Errorf("version -o %s: exit code %d, %v, %s", output, code, err, stderr)
		}
		if diff := cmp.Diff(currentVersion(), got); diff != "" {
			t.Errorf("version -o %s (-want +got):\n%s", output, diff)
		}
		var keys map[string]any
		if err := decode([]byte(out), &keys); err != nil {
			t.Error(err)
		}
		for _, key := range []string{"gardenadm", "gardener", "kubernetes", "go", "platform"} {
			if value, ok := keys[key]; !ok || value == "" {
				t.Errorf("version -o %s has no %s", output, key)
			}
		}
	}
	if v := currentVersion(); !slices.Equal(v.Kubernetes, []string{manifest.KubernetesVersion}) || v.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("got %+v", v)
	}
}
