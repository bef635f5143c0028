package manifest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"

	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

const password = "hunter2"

// A Secret is damaged in every place, and no message quotes its value.
func TestProblemsQuoteNoSecret(t *testing.T) {
	for _, document := range []string{
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: garden}\nstringData:\n  key: " + password + "\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: garden}\ndata:\n  key: \"" + password + "\"\n",
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"garden"},"stringData":{"key":"` + password + `"}}`,
	} {
		at := strings.Index(document, password)
		for i := range document {
			if i >= at && i < at+len(password) {
				continue // it would be another password
			}
			for _, damage := range []string{"", "*", "!", "!!int ", "&", "%", "@", "`", "\"", "'", "[", "]", "{", "}", "\t", "\n", ":", "|", ">", "-", "#", ",", "\\", "\x00"} {
				damaged := document[:i] + damage + document[i+1:]
				for _, name := range []string{"a.yaml", "a.json"} {
					checkQuotesNothing(t, fstest.MapFS{name: {Data: []byte(damaged)}}, damaged)
				}
			}
		}
	}
}

func checkQuotesNothing(t *testing.T, files fstest.MapFS, input string) {
	t.Helper()
	_, err := manifest.Read(files)
	if err == nil {
		t.Fatalf("a Secret alone is accepted:\n%s", input)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, password) {
		t.Errorf("the password is in the message\n%s\nof\n%s", text, input)
	}
}

func TestExpectedProblemsQuoteNoSecret(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(shoots+"-refused", "broken-secrets", "expected.txt"))
	if err != nil || strings.Contains(string(text), password) {
		t.Errorf("%v in\n%s", err, text)
	}
}

func TestRedact(t *testing.T) {
	for _, c := range []struct {
		directory string
		secret    bool
		values    []string
	}{
		{"plant-floor", true, []string{"not-a-real-password", "bm90LWEtcmVhbC1wYXNzd29yZA"}},
		{"restored", true, []string{"bm90IGEga2V5", "ca.key"}},
		{"audit", true, []string{"not-a-real-token"}},
		{"minimal", false, nil},
	} {
		set, err := manifest.Read(os.DirFS(filepath.Join(shoots, c.directory)))
		if err != nil {
			t.Fatal(err)
		}
		before, err := manifest.Encode(set)
		if err != nil {
			t.Fatal(err)
		}
		redacted, secret := manifest.Redact(set)
		raw, err := manifest.Encode(redacted)
		if err != nil || secret != c.secret || strings.Contains(string(raw), manifest.Redacted) != c.secret {
			t.Errorf("%s: %v, secret %t\n%s", c.directory, err, secret, raw)
		}
		for _, value := range c.values {
			if strings.Contains(string(raw), ": "+value) || strings.Contains(string(raw), value+"\n") {
				t.Errorf("%s: %q is shown", c.directory, value)
			}
		}
		if after, err := manifest.Encode(set); err != nil || string(after) != string(before) {
			t.Errorf("%s: Redact changed what it was given", c.directory)
		}
	}
	redacted, _ := manifest.Redact(manifest.Set{ShootState: &gardencore.ShootState{}})
	if redacted.ShootState == nil {
		t.Error("an empty ShootState is lost")
	}
}

// A version is supported when upstream/ builds it.
func TestSupportedKubernetes(t *testing.T) {
	modules, err := filepath.Glob("../../../upstream/kubernetes/*/go.mod")
	if err != nil || len(modules) != len(manifest.SupportedKubernetes()) {
		t.Fatalf("upstream/ builds %v (%v), supported are %v", modules, err, manifest.SupportedKubernetes())
	}
	for i, version := range manifest.SupportedKubernetes() {
		raw, err := os.ReadFile(modules[i])
		if err != nil || !strings.Contains(string(raw), "k8s.io/kubernetes v"+version+"\n") {
			t.Errorf("%s does not build %s: %v", modules[i], version, err)
		}
	}
}
