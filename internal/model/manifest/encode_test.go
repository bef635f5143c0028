package manifest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	gardencorev1 "github.com/gardener/gardener/pkg/apis/core/v1"
	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	operatorv1alpha1 "github.com/gardener/gardener/pkg/apis/operator/v1alpha1"
	securityv1alpha1 "github.com/gardener/gardener/pkg/apis/security/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	configv1alpha1 "github.com/gardenadm/gardenadm/api/config/v1alpha1"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// filler fills objects with what Read could have made: names that are valid, and nothing that it drops.
func filler(seed int64) *randfill.Filler {
	n := 0
	raw := func(c randfill.Continue) []byte {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(c.String(0)); err != nil {
			panic(err)
		}
		return fmt.Appendf(nil, `{"a":[%d,null,true],"b":%s}`, c.Int63(), bytes.TrimSpace(text.Bytes()))
	}
	return randfill.NewWithSeed(seed).NilChance(0.4).NumElements(1, 2).MaxDepth(40).Funcs(
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			n++
			*m = metav1.ObjectMeta{Name: fmt.Sprintf("object-%03d", n)}
			c.Fill(&m.Labels)
			c.Fill(&m.Annotations)
			c.Fill(&m.Finalizers)
		},
		func(m *metav1.TypeMeta, _ randfill.Continue) { *m = metav1.TypeMeta{} },
		func(t *metav1.Time, c randfill.Continue) { t.Time = time.Unix(int64(c.Uint32()), 0).Local() },
		func(d *metav1.Duration, c randfill.Continue) { d.Duration = time.Duration(c.Uint32()) },
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse(fmt.Sprintf("%dMi", 1+c.Intn(99)))
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = intstr.FromInt32(c.Int31())
			if c.Bool() {
				*v = intstr.FromString(c.String(0))
			}
		},
		func(r *runtime.RawExtension, c randfill.Continue) { *r = runtime.RawExtension{Raw: raw(c)} },
		func(j *apiextensionsv1.JSON, c randfill.Continue) { j.Raw = raw(c) },
		func(s *corev1.Secret, c randfill.Continue) { c.FillNoCustom(s); s.StringData = nil },
		func(s *gardencore.ShootStatus, c randfill.Continue) {
			*s = gardencore.ShootStatus{UID: types.UID(c.String(0)), TechnicalID: c.String(0)}
			c.Fill(&s.Credentials)
		},
		func(s *gardencore.CloudProfileStatus, _ randfill.Continue) { *s = gardencore.CloudProfileStatus{} },
		func(s *gardencore.ProjectStatus, _ randfill.Continue) { *s = gardencore.ProjectStatus{} },
		func(s *operatorv1alpha1.ExtensionStatus, _ randfill.Continue) {
			*s = operatorv1alpha1.ExtensionStatus{}
		},
		func(f *gardencore.MachineImageFlavor, c randfill.Continue) { c.Fill(&f.Capabilities) },
	)
}

func random[T any](f *randfill.Filler) *T {
	out := new(T)
	f.Fill(out)
	return out
}

func list[T any](f *randfill.Filler) []*T { return []*T{random[T](f), random[T](f)} }

// randomSet is a set with every kind.
func randomSet(seed int64) manifest.Set {
	f := filler(seed)
	out := manifest.Set{
		CloudProfile: random[gardencore.CloudProfile](f), Project: random[gardencore.Project](f), Shoot: random[gardencore.Shoot](f),
		ControllerRegistrations: list[gardencore.ControllerRegistration](f), ControllerDeployments: list[gardencorev1.ControllerDeployment](f),
		Extensions: list[operatorv1alpha1.Extension](f), Secrets: list[corev1.Secret](f), ConfigMaps: list[corev1.ConfigMap](f),
		//lint:ignore SA1019 the contract has it, and gardens still hold some
		SecretBinding: random[gardencore.SecretBinding](f), CredentialsBinding: random[securityv1alpha1.CredentialsBinding](f),
		WorkloadIdentities: list[securityv1alpha1.WorkloadIdentity](f), ShootState: random[gardencore.ShootState](f),
		RegistryAccess: random[configv1alpha1.RegistryAccess](f),
	}
	for _, o := range []metav1.Object{
		out.Shoot, out.Secrets[0], out.Secrets[1], out.ConfigMaps[0], out.ConfigMaps[1], out.SecretBinding, out.CredentialsBinding,
		out.WorkloadIdentities[0], out.WorkloadIdentities[1], out.ShootState,
	} {
		o.SetNamespace("garden")
	}
	for i, registration := range out.ControllerRegistrations {
		if deployment := registration.Spec.Deployment; deployment != nil {
			deployment.DeploymentRefs = []gardencore.DeploymentRef{{Name: out.ControllerDeployments[i].Name}}
		}
	}
	return out
}

func TestEncodeLosesNothing(t *testing.T) {
	for seed := range int64(60) {
		set := randomSet(seed)
		raw, err := manifest.Encode(set)
		if err != nil {
			t.Fatal(err)
		}
		got, err := manifest.Decode(raw)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		again, err := manifest.Encode(got)
		if err != nil || string(again) != string(raw) {
			t.Errorf("seed %d: what was read is written differently: %v", seed, err)
		}
		forgetTypes(&got)
		equal(t, fmt.Sprintf("seed %d", seed), set, got)
		if t.Failed() {
			return
		}
	}
}

// forgetTypes takes apiVersion and kind away, which random objects do not have.
func forgetTypes(set *manifest.Set) {
	for o := range set.Origins {
		o.(runtime.Object).GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
}

func TestEncodeIsIndependentOfOrder(t *testing.T) {
	set := randomSet(1)
	want, err := manifest.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	rand.Shuffle(len(set.Secrets), func(i, j int) { set.Secrets[i], set.Secrets[j] = set.Secrets[j], set.Secrets[i] })
	set.ConfigMaps[0], set.ConfigMaps[1] = set.ConfigMaps[1], set.ConfigMaps[0]
	got, err := manifest.Encode(set)
	if err != nil || string(got) != string(want) {
		t.Errorf("the order of lists changes what is written: %v", err)
	}
	if first := strings.Index(string(got), "kind: CloudProfile"); first < 0 || first > strings.Index(string(got), "kind: Shoot\n") {
		t.Error("kinds are not in their order")
	}
}

// What a server fills in differs with every export and must not be kept.
func TestEncodeDropsWhatAServerFillsIn(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	want, err := manifest.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	set.Shoot.UID, set.Shoot.ResourceVersion, set.Shoot.Generation = "x", "1", 3
	set.Shoot.CreationTimestamp = metav1.Now()
	set.Shoot.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	set.Shoot.Annotations[corev1.LastAppliedConfigAnnotation] = "{}"
	set.Shoot.Status.LastOperation = &gardencore.LastOperation{Description: "x"}
	set.Project.Status.Phase = gardencore.ProjectReady
	got, err := manifest.Encode(set)
	if err != nil || string(got) != string(want) {
		t.Errorf("got %v\n%s", err, got)
	}
	if set.Shoot.UID != "x" || set.Shoot.Status.LastOperation == nil {
		t.Error("Encode changed what it was given")
	}
	set.Shoot.Status.UID = "kept"
	if got, err = manifest.Encode(set); err != nil || !strings.Contains(string(got), "\nstatus:\n  uid: kept\n") {
		t.Errorf("the identity is lost: %v\n%s", err, got)
	}
}
