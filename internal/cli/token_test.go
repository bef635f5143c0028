package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/token"
)

const (
	tokenText = "abcdef.0123456789abcdef"
	poolsJSON = `{"pods":["10.0.0.0/16"],"services":["10.1.0.0/16"],"nodes":["192.0.2.0/24"],"pools":[` +
		`{"name":"control-plane","secret":"a","controlPlane":true},{"name":"worker","secret":"b"}]}`
)

// published is a cluster that machines can join.
func published(data map[string]string, funcs interceptor.Funcs) token.Store {
	return token.Store{API: fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(funcs).WithObjects(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"}, Data: data},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "gardenadm-pools"}, Data: map[string]string{"offer.json": poolsJSON}},
	).WithIndex(&corev1.Secret{}, "type", func(o client.Object) []string { return []string{string(o.(*corev1.Secret).Type)} }).Build()}
}

// A token that was made is printed, whatever comes after.
func TestTokenCreate(t *testing.T) {
	signed := map[string]string{"jws-kubeconfig-abcdef": "x"}
	noPatch := interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
		return errors.New("no patch")
	}}
	for name, test := range map[string]struct {
		data  map[string]string
		funcs interceptor.Funcs
		pool  string
		warns string     // on stderr
		fails fault.Code // "" for none
	}{
		"signed":                    {data: signed},
		"never signed":              {warns: "has not signed cluster-info"},
		"not remembered":            {data: signed, funcs: noPatch, warns: "no patch"},
		"bound to a pool":           {data: signed, pool: "worker"},
		"pool that is not there":    {data: signed, pool: "wroker", fails: fault.NoSuchPool},
		"pool of the control plane": {data: signed, pool: "control-plane", fails: fault.ControlPlanePool},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, err := token.Parse(tokenText)
				if err != nil {
					t.Fatal(err)
				}
				one.Binding.Pool, one.Expires = test.pool, time.Now().Add(time.Hour)
				store := published(test.data, test.funcs)
				var out, warnings bytes.Buffer
				err = tokenOptions{}.create(t.Context(), store, one, Streams{Out: &out, Err: &warnings})
				if test.fails != "" {
					if found := fault.Of(err); len(found) == 0 || found[0].Code != test.fails || out.Len() > 0 {
						t.Errorf("got %v and %q, want %s", err, out.String(), test.fails)
					}
					return
				}
				if err != nil || out.String() != tokenText+"\n" {
					t.Errorf("got %v and %q", err, out.String())
				}
				if text := warnings.String(); !strings.Contains(text, test.warns) || test.warns == "" && text != "" || strings.Contains(text, one.Secret) {
					t.Errorf("warned %q, want %q", text, test.warns)
				}
			})
		})
	}
}

// A machine that joins at once finds the signature.
func TestTokenCreateWaitsForTheSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := published(nil, interceptor.Funcs{})
		go func() {
			time.Sleep(15 * time.Second)
			info := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"}}
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"data":{"jws-kubeconfig-abcdef":"x"}}`))
			if err := store.API.Patch(t.Context(), info, patch); err != nil {
				t.Error(err)
			}
		}()
		if err := awaitSignature(t.Context(), store, token.Token{ID: "abcdef"}); err != nil {
			t.Error(err)
		}
	})
}

func TestTokenCreateIsRefused(t *testing.T) {
	for name, want := range map[string]string{"Worker-7": "use worker-7", "a_b": "--node", "-": "--node", "worker-7": ""} {
		options := tokenOptions{}
		options.binding.Node = name
		err := options.checkNode()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// The short form is the one of contract control-plane §8.
func TestTokenCreateHasTheContractsFlags(t *testing.T) {
	if flag := tokenCreateCommand(Streams{}).Flags().ShorthandLookup("j"); flag == nil || flag.Name != "print-join-command" {
		t.Errorf("-j is %v", flag)
	}
}

func TestTokenList(t *testing.T) {
	store, now := published(nil, interceptor.Funcs{}), time.Now()
	for id, binding := range map[string]token.Binding{"aaaaaa": {SingleUse: true}, "bbbbbb": {Node: "w2", Pool: "worker", Renewal: true}} {
		one := token.Token{ID: id, Secret: "0123456789abcdef", Expires: now.Add(time.Hour).UTC().Truncate(time.Second), Binding: binding}
		if err := store.Create(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Use(t.Context(), "aaaaaa", "w1", "worker", now.Add(-5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string][]string{
		"":     {"aaaaaa", "join", "one node", "w1 (5m", "bbbbbb", "renew", "node w2, pool worker"},
		"json": {`"usedBy": [`, `"w1"`, `"usedAt":`, `"renewal": true`, `"singleUse": true`},
		"yaml": {"usedBy:\n  - w1", "usedAt:", "renewal: true", "singleUse: true"},
	} {
		var out bytes.Buffer
		if err := listTokens(t.Context(), store, format, &out); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%q is not in -o %s:\n%s", text, format, out.String())
			}
		}
		if strings.Contains(out.String(), "0123456789abcdef") {
			t.Errorf("-o %s shows the secret", format)
		}
	}
}
