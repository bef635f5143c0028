package client

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/secret"
)

// applied hands what is applied to a function, as JSON.
func applied(to func([]byte, *client.ApplyOptions) error) func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
	return func(_ context.Context, _ client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
		raw, err := json.Marshal(object)
		if err != nil {
			return err
		}
		return to(raw, (&client.ApplyOptions{}).ApplyOptions(options))
	}
}

func TestSecretStoreKeepsWhatWasIssued(t *testing.T) {
	store := SecretStore{Client: inMemory()}
	specs := append(secret.Authorities(), secret.ServiceAccountKey(), secret.EtcdClient(), secret.Spec{
		Name: "kubelet-client", Node: "machine-0", Kind: secret.Client, Signer: secret.AuthorityClient,
		CommonName: "system:node:machine-0", Organization: []string{"system:nodes"}, ValidDays: 30,
	})
	issued, err := secret.Issuer{Store: store}.Ensure(t.Context(), specs)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(issued, kept); diff != "" {
		t.Errorf("what is loaded is not what was issued (-issued +loaded):\n%s", diff)
	}
	again, err := secret.Issuer{Store: store}.Ensure(t.Context(), specs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(issued, again); diff != "" {
		t.Errorf("secrets that are in the API are issued again (-first +second):\n%s", diff)
	}
}

func TestSecretStoreLoadsTheNewestOfAKey(t *testing.T) {
	version := func(content string, age time.Duration) *corev1.Secret {
		object, err := secret.Object(secret.Secret{
			Spec: secret.Spec{Name: "admin", Kind: secret.Client}, Data: map[string][]byte{secret.DataCert: []byte(content)},
		})
		if err != nil {
			t.Fatal(err)
		}
		object.CreationTimestamp = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(-age))
		return object
	}
	// Names are hashes of the content, so the order of the list says nothing; both orders are tried.
	for _, contents := range [][2]string{{"a", "b"}, {"b", "a"}} {
		newest, oldest := contents[0], contents[1]
		store := SecretStore{Client: inMemory(version(oldest, time.Hour), version(newest, time.Minute))}
		set, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(set.Get("admin", "", secret.DataCert)); got != newest || len(set) != 1 {
			t.Errorf("got %q of %d secrets, want the newest, %q", got, len(set), newest)
		}
	}
}

func TestSecretStoreLoadsOnlyItsOwn(t *testing.T) {
	own, err := secret.Object(secret.Secret{Spec: secret.ServiceAccountKey(), Data: map[string][]byte{"id_rsa": []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := own.DeepCopy()
	elsewhere.Namespace = "default"
	unlabelled := own.DeepCopy()
	unlabelled.Name, unlabelled.Labels = "users", nil
	foreign := own.DeepCopy()
	foreign.Name, foreign.Labels["manager-identity"] = "foreign", "somebody-else"
	elsewhere.Annotations, unlabelled.Annotations, foreign.Annotations = nil, nil, nil // would be an error if they were read

	set, err := SecretStore{Client: inMemory(own, elsewhere, unlabelled, foreign)}.Load(t.Context())
	if err != nil || len(set) != 1 {
		t.Errorf("got %v, %v; want one secret", set.Keys(), err)
	}
}
