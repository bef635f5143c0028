package token_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/token"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func codeOf(err error) fault.Code {
	for _, of := range fault.Of(err) {
		return of.Code
	}
	return ""
}

func parse(t *testing.T, text string) token.Token {
	t.Helper()
	out, err := token.Parse(text)
	must(t, err)
	return out
}

// api is a cluster that was published; its Secrets can be selected by type, as in the real one.
func api(objects ...client.Object) client.Client {
	info := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"}, Data: map[string]string{"kubeconfig": "x"}}
	return fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(append(objects, info)...).
		WithIndex(&corev1.Secret{}, "type", func(o client.Object) []string { return []string{string(o.(*corev1.Secret).Type)} }).Build()
}

func TestStore(t *testing.T) {
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Second)
	store := token.Store{API: api(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "other"}})}
	open := parse(t, "aaaaaa.0123456789abcdef")
	open.Description, open.Expires = token.DefaultDescription, now.Add(2*time.Hour)
	bound := parse(t, "bbbbbb.0123456789abcdef")
	bound.Expires, bound.Binding = now.Add(time.Hour), token.Binding{Node: "machine-1", Pool: "worker", SingleUse: true}
	must(t, store.Create(ctx, open))
	must(t, store.Create(ctx, bound))
	must(t, store.Remember(ctx, bound))
	if err := store.Create(ctx, open); codeOf(err) != fault.BadFlag {
		t.Errorf("created twice: %v", err)
	}
	list, err := store.List(ctx)
	must(t, err)
	if got := fmt.Sprintf("%+v", list); got != fmt.Sprintf("%+v", []token.Token{bound, open}) {
		t.Errorf("listed %s", got)
	}

	secret := &corev1.Secret{}
	must(t, store.API.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "bootstrap-token-aaaaaa"}, secret))
	for key, want := range map[string]string{
		"token-id": "aaaaaa", "token-secret": "0123456789abcdef", "expiration": open.Expires.Format(time.RFC3339),
		"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true", "auth-extra-groups": token.GroupOpen,
	} {
		if got := string(secret.Data[key]); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	must(t, store.API.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "bootstrap-token-bbbbbb"}, secret))
	if group := secret.Data["auth-extra-groups"]; group != nil {
		t.Errorf("a bound token is in group %s, whose requests are approved unseen", group)
	}
	info := &corev1.ConfigMap{}
	must(t, store.API.Get(ctx, client.ObjectKey{Namespace: "kube-public", Name: "cluster-info"}, info))
	if history := info.Data["gardenadm-tokens"]; !strings.Contains(history, `"bbbbbb"`) || strings.Contains(history, bound.Secret) {
		t.Errorf("history is %s", history)
	}

	if signed, err := store.Signed(ctx, bound); err != nil || signed {
		t.Errorf("signed before it was: %v", err)
	}
	info.Data["jws-kubeconfig-bbbbbb"] = "x"
	must(t, store.API.Update(ctx, info))
	if signed, err := store.Signed(ctx, bound); err != nil || !signed {
		t.Errorf("not signed: %v", err)
	}

	must(t, store.Delete(ctx, "aaaaaa"))
	if err := store.Delete(ctx, "aaaaaa"); codeOf(err) != fault.BadFlag {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestUse(t *testing.T) {
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Second)
	for name, test := range map[string]struct {
		binding token.Binding
		expires time.Duration
		nodes   []string // join one after the other, all of pool worker; the last one is refused
		says    string
	}{
		"expired":            {nodes: []string{"a"}, expires: -time.Second, says: "expired at"},
		"of another node":    {nodes: []string{"a", "b"}, expires: time.Hour, binding: token.Binding{Node: "a"}, says: "for node a, not for b"},
		"of another pool":    {nodes: []string{"a"}, expires: time.Hour, binding: token.Binding{Pool: "gpu"}, says: "for pool gpu, not for worker"},
		"used up":            {nodes: []string{"a", "a", "b"}, expires: time.Hour, binding: token.Binding{SingleUse: true}, says: "can be used once, and a did so"},
		"open, until it end": {nodes: []string{"a", "b", "c", ""}, expires: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			one := parse(t, "aaaaaa.0123456789abcdef")
			one.Expires, one.Binding = now.Add(test.expires), test.binding
			store := token.Store{API: api()}
			must(t, store.Create(ctx, one))
			last := len(test.nodes) - 1
			for _, node := range test.nodes[:last] {
				must(t, store.Use(ctx, one.ID, node, "worker", now))
			}
			if test.says == "" {
				got, err := store.Get(ctx, one.ID)
				if err != nil || strings.Join(got.UsedBy, ",") != "a,b,c" || !got.UsedAt.Equal(now) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err := store.Use(ctx, one.ID, test.nodes[last], "worker", now); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "qwertz", "qwertz.9123456789ABCDEF", "qwertz.912345678", "qwertzu.9123456789abcdef", "qwe.9123456789abcdef x"} {
		if _, err := token.Parse(text); codeOf(err) != fault.BadFlag || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	one, err := token.Generate()
	must(t, err)
	if again := parse(t, one.Text()+"\n"); again.Text() != one.Text() {
		t.Error("a token that was made cannot be read")
	}
	for _, format := range []string{"%v", "%s", "%q"} {
		if shown := fmt.Sprintf(format, one); strings.Contains(shown, one.Secret) {
			t.Errorf("%s shows the secret", format)
		}
	}
}

func TestJoinCommand(t *testing.T) {
	var addresses []netip.Addr
	for i := range 5 {
		addresses = append(addresses, netip.AddrFrom4([4]byte{192, 168, 200, byte(201 + i)}))
	}
	a := newAuthority(t)
	line := token.JoinCommand(addresses, parse(t, "abcdef.0123456789abcdef"), a.pin())
	if len(line) > 200 {
		t.Errorf("%d characters: %s", len(line), line)
	}
	if !strings.Contains(line, addresses[4].String()) {
		t.Errorf("the last address is not in %s", line)
	}
	bound := parse(t, "abcdef.0123456789abcdef")
	bound.Binding.Pool = "a-pool-of-15-ch"
	if line := token.JoinCommand(append(addresses, addresses...), bound, a.pin()); len(line) > 200 || !strings.HasSuffix(line, " -w a-pool-of-15-ch") ||
		!strings.HasPrefix(line, "gardenadm join "+addresses[0].String()+",") {
		t.Errorf("with a pool and ten addresses: %s", line)
	}
	words := strings.Fields(line)
	pin, err := token.ParsePin(words[len(words)-1])
	if err != nil || pin != a.pin() {
		t.Errorf("got %s, %v", pin, err)
	}
	if pins, err := token.PinOf(a.pem()); err != nil || pins[0] != pin {
		t.Errorf("got %v, %v", pins, err)
	}
	if pin, err := token.ParsePin(fmt.Sprintf("sha256:%x", pin[:])); err != nil || pin != a.pin() {
		t.Errorf("kubeadm's form: %s, %v", pin, err)
	}
	for _, text := range []string{"", "sha256:00", "sha256:zz", "AQ", strings.Repeat("A", 44)} {
		if _, err := token.ParsePin(text); codeOf(err) != fault.BadFlag {
			t.Errorf("%q: %v", text, err)
		}
	}
	// A token at the pin's place is told, and not shown.
	if _, err := token.ParsePin("abcdef.0123456789abcdef"); codeOf(err) != fault.BadFlag || !strings.Contains(err.Error(), "it is a token") || strings.Contains(err.Error(), "0123") {
		t.Errorf("a token as a pin: %v", err)
	}
}

func FuzzParsePin(f *testing.F) {
	f.Add("sha256:00")
	f.Fuzz(func(t *testing.T, text string) {
		if pin, err := token.ParsePin(text); err == nil {
			if again, err := token.ParsePin(pin.String()); err != nil || again != pin {
				t.Errorf("%q is read as %s, and that as %s, %v", text, pin, again, err)
			}
		}
	})
}
