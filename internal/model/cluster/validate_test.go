package cluster_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// rule is what manifests must keep to: a change of the built-in set that passes and one that does not.
type rule struct {
	name string
	// accept is nil for the built-in set itself.
	accept, refuse change
	// object is what the refusal is about; empty for the Shoot.
	object string
	path   string
	// code is empty for fault.BadManifest.
	code fault.Code
	// says is part of the message, where it matters.
	says string
	// unheeded is a path that this version refuses anyway, whatever the rule says about what is below it.
	unheeded string
}

type change func(*manifest.Set)

// onePool is the built-in set without its pool of workers.
func onePool() manifest.Set {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Spec.Provider.Workers = set.Shoot.Spec.Provider.Workers[:1]
	return set
}

// TestRules: every rule passes what it should, and refuses the rest with one problem that names object, path and code.
// The names begin with the number in contract shoot-api §3, or with "own".
func TestRules(t *testing.T) {
	for _, r := range slices.Concat(contractRules(), nameRules(), networkRules(), poolRules(), profileRules(), versionRules(), referenceRules(), apiServerRules(), kubeletValueRules()) {
		t.Run(r.name, func(t *testing.T) {
			if r.accept != nil {
				if problems := problemsOf(t, r.unheeded, r.accept); len(problems) > 0 {
					t.Errorf("the accepting manifest is refused: %s", problems)
				}
			}
			problems := problemsOf(t, r.unheeded, r.refuse)
			if len(problems) != 1 {
				t.Fatalf("got %d problems, want one at %s: %s", len(problems), r.path, problems)
			}
			want := manifest.Problem{Object: r.object, Path: r.path, Code: r.code}
			if want.Object == "" {
				want.Object = "Shoot garden/local"
			}
			if want.Code == "" {
				want.Code = fault.BadManifest
			}
			got := problems[0]
			if got.Object != want.Object || got.Path != want.Path || got.Code != want.Code || got.Message == "" || !strings.Contains(got.Message, r.says) {
				t.Errorf("got %s (%s), want %s at %s of %s", got, got.Code, want.Code, want.Path, want.Object)
			}
		})
	}
}

// problemsOf are those of a changed built-in set. The fault that holds them has their code, when they share one.
func problemsOf(t *testing.T, unheeded string, change change) manifest.Problems {
	t.Helper()
	set := onePool()
	change(&set)
	_, err := cluster.New(set, "uid")
	if err == nil {
		return nil
	}
	var problems manifest.Problems
	var found *fault.Error
	if !errors.As(err, &problems) || !errors.As(err, &found) {
		t.Fatalf("got %v, want a fault with problems", err)
	}
	code := problems[0].Code
	if slices.ContainsFunc(problems, func(p manifest.Problem) bool { return p.Code != code }) {
		code = fault.BadManifest
	}
	if found.Code != code {
		t.Errorf("got %s for all, want %s: %s", found.Code, code, problems)
	}
	return slices.DeleteFunc(problems, func(p manifest.Problem) bool { return unheeded != "" && p.Path == unheeded })
}

// shoot, worker and profile are changes of parts of the set; worker is the control plane's pool.
func shoot(do func(*gardencore.Shoot)) change { return func(set *manifest.Set) { do(set.Shoot) } }

func worker(do func(*gardencore.Worker)) change {
	return shoot(func(s *gardencore.Shoot) { do(&s.Spec.Provider.Workers[0]) })
}

func profile(do func(*gardencore.CloudProfile)) change {
	return func(set *manifest.Set) { do(set.CloudProfile) }
}

// second adds a pool that is no control plane.
func second(do func(*gardencore.Worker)) change {
	return shoot(func(s *gardencore.Shoot) {
		pool := *s.Spec.Provider.Workers[0].DeepCopy()
		pool.Name, pool.ControlPlane, pool.SystemComponents = "second", nil, nil
		do(&pool)
		s.Spec.Provider.Workers = append(s.Spec.Provider.Workers, pool)
	})
}

func all(changes ...change) change {
	return func(set *manifest.Set) {
		for _, change := range changes {
			change(set)
		}
	}
}

func size(minimum, maximum int32) change {
	return worker(func(w *gardencore.Worker) { w.Minimum, w.Maximum = minimum, maximum })
}

func zones(names ...string) func(*gardencore.Worker) {
	return func(w *gardencore.Worker) { w.Zones = names }
}

// TestAllProblemsAtOnce: a person mends a set of manifests in one go.
func TestAllProblemsAtOnce(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Origins = map[any]manifest.Origin{set.Shoot: {File: "shoot.yaml", Document: 2}, set.Project: {File: "project.yaml", Document: 1}}
	set.Shoot.Namespace = "default"
	set.Shoot.Spec.SeedName = ptr.To("seed")
	set.Shoot.Spec.Networking.Services = ptr.To("fd00::/112")
	set.Shoot.Spec.Region = "nowhere"
	set.Shoot.Spec.Kubernetes.Version = "v1.36"
	set.Shoot.Spec.Provider.Workers[0].Maximum = 2
	_, err := cluster.New(set, "uid")
	var problems manifest.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v, want problems", err)
	}
	got := map[string]fault.Code{}
	for _, problem := range problems {
		got[problem.Path] = problem.Code
		if problem.Origin.File == "" || problem.Object == "" || problem.Path == "" || problem.Code == "" || problem.Message == "" {
			t.Errorf("incomplete: %+v", problem)
		}
	}
	for path, code := range map[string]fault.Code{
		"metadata.namespace":               fault.BadManifest,
		"spec.seedName":                    fault.UnsupportedField,
		"spec.networking.services":         fault.UnsupportedIPv6,
		"spec.region":                      fault.BadManifest,
		"spec.kubernetes.version":          fault.BadManifest,
		"spec.provider.workers[0].maximum": fault.BadManifest,
		"spec.namespace":                   fault.BadManifest, // the Project's
	} {
		if got[path] != code {
			t.Errorf("%s: got %q, want %s", path, got[path], code)
		}
	}
	if len(got) != 7 {
		t.Errorf("got problems at %v, want 7", got)
	}
	if found := fault.Of(err); len(found) != 1 || found[0].Code != fault.BadManifest {
		t.Errorf("got %v, want one fault %s", found, fault.BadManifest)
	}
}

func TestIncompleteSetIsRefused(t *testing.T) {
	_, err := cluster.New(manifest.Set{}, "uid")
	var problems manifest.Problems
	if !errors.As(err, &problems) || len(problems) != 3 || len(fault.Of(err)) != 1 {
		t.Errorf("got %v, want a fault with three problems", err)
	}
}
