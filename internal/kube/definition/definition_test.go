package definition

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/gardenadm/gardenadm/internal/golden"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

func TestWhatIsSavedIsLoaded(t *testing.T) {
	api := &kube.Client{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()}
	if _, err := Load(t.Context(), api); !apierrors.IsNotFound(err) {
		t.Errorf("without a definition: %v, want that it is not found", err)
	}
	set, err := manifest.Read(golden.Inputs(t, "shoots/most-fields"))
	if err != nil {
		t.Fatal(err)
	}
	saved := Definition{UID: "11111111-2222-3333-4444-555555555555", Manifests: set, Images: image.Vector{image.Etcd: "registry.test/etcd:v1"}}
	for range 2 { // the second time it replaces the first
		if err := Save(t.Context(), api, saved); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(t.Context(), api)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := manifest.Encode(saved.Manifests)
	have, _ := manifest.Encode(got.Manifests)
	if got.UID != saved.UID || !maps.Equal(got.Images, saved.Images) || string(have) != string(want) || len(want) == 0 {
		t.Errorf("loaded %+v", got)
	}
	if c, err := got.Cluster(); err != nil || c.UID != saved.UID {
		t.Errorf("make cluster: %v", err)
	}
}

func TestLoadRefusesWhatIsNotWhole(t *testing.T) {
	set, err := manifest.Encode(manifest.Builtin(manifest.DefaultNodes()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data map[string][]byte
		want string
	}{
		"nothing":      {nil, "uid is missing"},
		"no manifests": {map[string][]byte{keyUID: []byte("x"), keyManifests: []byte("{"), keyImages: []byte("{}")}, "read manifests"},
		"no identity":  {map[string][]byte{keyManifests: set, keyImages: []byte("{}")}, "uid is missing"},
		"no images":    {map[string][]byte{keyUID: []byte("x"), keyManifests: set}, "decode images.json"},
	} {
		object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: Key().Namespace, Name: Key().Name}, Data: c.data}
		_, err := Load(t.Context(), fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(object).Build())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
