package sequence

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// apiWith returns a client of an API that holds the secrets and nothing else.
func apiWith(t *testing.T, set secret.Set) *kube.Client {
	t.Helper()
	list := &corev1.SecretList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "SecretList"}}
	for _, key := range set.Keys() {
		object, err := secret.Object(set[key])
		must(t, err)
		list.Items = append(list.Items, *object)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch {
		case r.URL.Path == "/api/v1/namespaces/kube-system/secrets":
			answer = list
		case r.URL.Path == "/api/v1":
			answer = &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: "v1",
				APIResources: []metav1.APIResource{{Name: "secrets", Kind: "Secret", Namespaced: true, Verbs: metav1.Verbs{"list"}}}}
		case r.URL.Path == "/api":
			answer = &metav1.APIVersions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIVersions"}, Versions: []string{"v1"}}
		case r.URL.Path == "/apis":
			answer = &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}}
		default:
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer) //nolint:errcheck // the client would say it
	}))
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	api, err := kube.New(kubeconfig.Render(kubeconfig.Config{Server: server.URL, TLSServerName: "example.com", CA: authority}))
	must(t, err)
	return api
}

// When the API answers already, an unfinished run's secrets are on disk; a finished one's, or one that was stopped while it forgot them, in the API.
func TestLoadSecretsFromWhereAllOfThemAre(t *testing.T) {
	story := Init{Cluster: componenttest.Cluster(t), Node: componenttest.Node()}
	specs, err := story.wantedSecrets()
	must(t, err)
	inAPI, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), specs)
	must(t, err)
	for name, c := range map[string]struct {
		forgotten func(string) bool
		fromAPI   bool
	}{
		"all on disk":                 {func(string) bool { return false }, false},
		"none on disk":                {func(string) bool { return true }, true},
		"stopped while forgetting":    {func(key string) bool { return !strings.HasPrefix(key, "ca") }, true},
		"stopped before the last one": {func(key string) bool { return key != specs[len(specs)-1].Key() }, true},
		"stopped after the first one": {func(key string) bool { return key == specs[0].Key() }, true},
	} {
		store := &secret.Memory{}
		for key, one := range inAPI {
			if !c.forgotten(key) {
				one.Data = map[string][]byte{"from": []byte("disk"), secret.DataCACert: one.Data[secret.DataCACert], secret.DataCAKey: one.Data[secret.DataCAKey]}
				must(t, store.Save(t.Context(), one))
			}
		}
		i := story
		i.Secrets, i.api = store, apiWith(t, inAPI)
		if err := i.loadSecrets(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(i.secrets.Keys(), inAPI.Keys()) {
			t.Errorf("%s: loaded %q, want %q", name, i.secrets.Keys(), inAPI.Keys())
		}
		for _, key := range i.secrets.Keys() {
			if fromDisk := i.secrets[key].Data["from"] != nil; fromDisk == c.fromAPI {
				t.Errorf("%s: %s is from disk: %v", name, key, fromDisk)
			}
		}
	}
}
