package gardenlet

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func (f *fixture) issueAt(t *testing.T, now time.Time) error {
	t.Helper()
	f.see(t)
	again, err := issuer{f.world, func() time.Time { return now }}.reconcile(t.Context(), "all")
	if err == nil && again != issueEvery {
		t.Errorf("comes again after %s", again)
	}
	f.date(t, now)
	return err
}

func (f *fixture) stored(t *testing.T) secret.Set {
	t.Helper()
	set, err := kube.SecretStore{Client: f.api}.Load(t.Context())
	must(t, err)
	return set
}

// TestIssuing: leaves are issued anew at the end of their life or on demand, what others trust never is, and a workload that mounts
// one gets the new one.
func TestIssuing(t *testing.T) {
	f := withSecrets(t)
	now := time.Now()
	anew := func() (leaves, others int) {
		for key, one := range f.stored(t) {
			same := one.ObjectName() == f.secrets[key].ObjectName()
			switch {
			case same:
			case one.Spec.Irreplaceable():
				others++
			default:
				leaves++
			}
		}
		return leaves, others
	}
	all := 0
	for _, one := range f.secrets {
		if !one.Spec.Irreplaceable() {
			all++
		}
	}
	must(t, f.issueAt(t, now.AddDate(0, 0, 200)))
	if leaves, others := anew(); leaves+others != 0 {
		t.Errorf("with half of their life before them %d leaves and %d others are new", leaves, others)
	}
	must(t, f.issueAt(t, now.AddDate(0, 0, 300)))
	if leaves, others := anew(); leaves != all || others != 0 {
		t.Errorf("%d of %d leaves and %d others are new", leaves, all, others)
	}
	mounted := &appsv1.Deployment{}
	must(t, f.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: "metrics-server"}, mounted))
	if !mounts(mounted, f.stored(t)) || mounts(mounted, f.secrets) {
		t.Errorf("metrics-server mounts %+v", mounted.Spec.Template.Spec.Volumes)
	}

	old := f.secrets["gardenlet"].ObjectName()
	for _, c := range []struct {
		days int
		want bool
	}{{301, true}, {370, false}} {
		must(t, f.issueAt(t, now.AddDate(0, 0, c.days)))
		if _, there := f.objects(t)[old]; there != c.want {
			t.Errorf("after %d days the first certificate is there: %t", c.days, there)
		}
	}
	if len(f.stored(t)) != len(f.secrets) {
		t.Errorf("%d secrets are left of %d", len(f.stored(t)), len(f.secrets))
	}
}

// TestIssuingOnDemand: what was issued before the time is issued anew, and what was issued since is not.
func TestIssuingOnDemand(t *testing.T) {
	f := withSecrets(t)
	must(t, definition.AskRenewal(t.Context(), f.api, time.Now().Add(time.Hour)))
	must(t, f.issueAt(t, time.Now().Add(2*time.Hour)))
	first := f.stored(t)
	if first["gardenlet"].ObjectName() == f.secrets["gardenlet"].ObjectName() || first["ca"].ObjectName() != f.secrets["ca"].ObjectName() {
		t.Error("not what was asked for is issued anew")
	}
	f.define(t) // init, with changed manifests: what was asked stays
	must(t, f.issueAt(t, time.Now().Add(3*time.Hour)))
	if f.stored(t)["gardenlet"].ObjectName() != first["gardenlet"].ObjectName() {
		t.Error("what is new is issued anew once more")
	}
}

// TestIssuingWithout: an authority or a key that is gone is missed, and nothing is issued in its place.
func TestIssuingWithout(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*fixture, *testing.T)
		want  string
	}{
		"an authority": {func(f *fixture, t *testing.T) {
			object, err := secret.Object(f.secrets[secret.AuthorityEtcd])
			must(t, err)
			must(t, f.api.Delete(t.Context(), object))
		}, "find secret ca-etcd"},
		"a Node": {func(f *fixture, t *testing.T) { must(t, f.api.Delete(t.Context(), controlPlaneNode("cp1"))) }, "there is no Node cp1"},
	} {
		f := withSecrets(t)
		c.spoil(f, t)
		before := len(f.objects(t))
		if err := f.issueAt(t, time.Now().AddDate(0, 0, 300)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %s: %v", name, err)
		}
		if after := len(f.objects(t)); after != before {
			t.Errorf("without %s there are %d secrets, before there were %d", name, after, before)
		}
	}
}
