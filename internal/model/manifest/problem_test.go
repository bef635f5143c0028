package manifest_test

import (
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

func TestProblemInOneLine(t *testing.T) {
	for want, problem := range map[string]manifest.Problem{
		"a.yaml, document 2: Shoot garden/x: spec.region: must be set": {
			Origin: manifest.Origin{File: "a.yaml", Document: 2}, Object: "Shoot garden/x", Path: "spec.region", Message: "must be set", Code: fault.BadManifest,
		},
		"a.yaml: cannot be read":  {Origin: manifest.Origin{File: "a.yaml"}, Message: "cannot be read"},
		"Secret a b: must be set": {Object: "Secret a\nb", Message: "must\x1bbe set"},
	} {
		if got := problem.String(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	long := manifest.Problem{Path: strings.Repeat("ä", 10_000), Message: "must be set"}.String()
	if len(long) > 1000 || !strings.HasSuffix(long, "…: must be set") {
		t.Errorf("a long path makes %d bytes: %s", len(long), long)
	}
}

func TestProblems(t *testing.T) {
	if err := (manifest.Problems{}).Err(); err != nil {
		t.Errorf("no problems are %v", err)
	}
	problems := manifest.Problems{
		{Origin: manifest.Origin{File: "b.yaml", Document: 1}, Message: "third"},
		{Origin: manifest.Origin{File: "a.yaml", Document: 10}, Message: "second"},
		{Origin: manifest.Origin{File: "a.yaml", Document: 9}, Message: "first"},
	}
	if want := "a.yaml, document 9: first\na.yaml, document 10: second\nb.yaml, document 1: third"; problems.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", problems.Error(), want)
	}
	alike := manifest.Problems{{Message: "only IPv4 yet", Code: fault.UnsupportedIPv6}, {Message: "only IPv4 there", Code: fault.UnsupportedIPv6}}
	if want := "only IPv4 yet\nonly IPv4 there"; alike.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", alike.Error(), want)
	}
	mixed := append(alike, manifest.Problem{Message: "must be set"})
	if want := "only IPv4 yet (GA-1005)\nonly IPv4 there (GA-1005)\nmust be set"; mixed.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", mixed.Error(), want)
	}
	if problems[0].Message != "third" {
		t.Error("Error changed the order of the problems")
	}
	many := make(manifest.Problems, 1234)
	if lines := strings.Split(many.Error(), "\n"); len(lines) != 101 || lines[100] != "and 1134 more" {
		t.Errorf("%d lines, the last one is %q", len(lines), lines[len(lines)-1])
	}
}
