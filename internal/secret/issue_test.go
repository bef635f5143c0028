package secret_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gardenadm/gardenadm/internal/secret"
)

func wanted() []secret.Spec {
	return append(secret.Authorities(),
		secret.Spec{Name: "kube-apiserver", Node: "cp-1", Kind: secret.Server, Signer: secret.AuthorityCluster,
			CommonName: "kube-apiserver", DNSNames: []string{"kubernetes"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		secret.Spec{Name: "admin", Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: "admin", Organization: []string{"admins"}},
		secret.Spec{Name: "etcd-peer", Kind: secret.Peer, Signer: secret.AuthorityEtcdPeer, CommonName: "etcd-peer", ValidDays: 30},
		secret.Spec{Name: "service-account-key", Kind: secret.SigningKey},
		secret.Spec{Name: "encryption-key", Kind: secret.SymmetricKey},
	)
}

func TestEnsureIssuesVerifiableCertificates(t *testing.T) {
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(context.Background(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key, authority string
		usage          x509.ExtKeyUsage
	}{
		{"kube-apiserver--cp-1", secret.AuthorityCluster, x509.ExtKeyUsageServerAuth},
		{"admin", secret.AuthorityClient, x509.ExtKeyUsageClientAuth},
		{"etcd-peer", secret.AuthorityEtcdPeer, x509.ExtKeyUsageClientAuth},
		{"etcd-peer", secret.AuthorityEtcdPeer, x509.ExtKeyUsageServerAuth},
	} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(set.Get(c.authority, "", secret.DataCACert))
		block, _ := pem.Decode(set[c.key].Data[secret.DataCert])
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.usage}}); err != nil {
			t.Errorf("%s does not verify against %s: %v", c.key, c.authority, err)
		}
		if !cert.NotBefore.Before(time.Now().Add(-30 * time.Minute)) {
			t.Errorf("%s is not back-dated", c.key)
		}
	}
}

func TestEnsureKeepsWhatIsThere(t *testing.T) {
	store := secret.Directory{Path: filepath.Join(t.TempDir(), "secrets")}
	first, err := secret.Issuer{Store: store}.Ensure(context.Background(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	second, err := secret.Issuer{Store: store}.Ensure(context.Background(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	for key, s := range first {
		for name, data := range s.Data {
			if string(second[key].Data[name]) != string(data) {
				t.Errorf("%s/%s was issued anew", key, name)
			}
		}
	}
}

func TestEnsureRenews(t *testing.T) {
	store := &secret.Memory{}
	ctx := context.Background()
	first, err := secret.Issuer{Store: store}.Ensure(ctx, wanted())
	if err != nil {
		t.Fatal(err)
	}
	later := secret.Issuer{Store: store, Now: func() time.Time { return time.Now().AddDate(0, 0, 25) }}
	second, err := later.Ensure(ctx, wanted())
	if err != nil {
		t.Fatal(err)
	}
	changed := func(key string) bool {
		return string(first[key].Data[secret.DataCert]) != string(second[key].Data[secret.DataCert])
	}
	if !changed("etcd-peer") {
		t.Error("a 30-day certificate must be renewed after 25 days")
	}
	if changed("admin") {
		t.Error("a one-year certificate must be kept after 25 days")
	}
	if secret.Fingerprint(first["ca"].Data[secret.DataCACert]) != secret.Fingerprint(second["ca"].Data[secret.DataCACert]) {
		t.Error("an authority must never be replaced")
	}
	changedSpec := wanted()
	for i := range changedSpec {
		if changedSpec[i].Name == "kube-apiserver" {
			changedSpec[i].IPs = append(changedSpec[i].IPs, netip.MustParseAddr("10.0.0.2"))
		}
	}
	third, err := secret.Issuer{Store: store}.Ensure(ctx, changedSpec)
	if err != nil {
		t.Fatal(err)
	}
	if string(third["kube-apiserver--cp-1"].Data[secret.DataCert]) == string(second["kube-apiserver--cp-1"].Data[secret.DataCert]) {
		t.Error("a changed Spec must be issued anew")
	}
}

// failing refuses every save after the first n.
type failing struct {
	secret.Store
	left int
}

func (f *failing) Save(ctx context.Context, s secret.Secret) error {
	if f.left == 0 {
		return errors.New("disk full")
	}
	f.left--
	return f.Store.Save(ctx, s)
}

func TestEnsureGoesOnAfterAKill(t *testing.T) {
	store := secret.Directory{Path: t.TempDir()}
	ctx := context.Background()
	if _, err := (secret.Issuer{Store: &failing{Store: store, left: 3}}).Ensure(ctx, wanted()); err == nil {
		t.Fatal("the refused save went unnoticed")
	}
	half, err := store.Load(ctx)
	if err != nil || len(half) != 3 {
		t.Fatalf("got %d secrets, %v; want 3", len(half), err)
	}
	whole, err := secret.Issuer{Store: store}.Ensure(ctx, wanted())
	if err != nil {
		t.Fatal(err)
	}
	for key, s := range half {
		if string(whole[key].Data[secret.DataCACert]) != string(s.Data[secret.DataCACert]) {
			t.Errorf("%s changed after a killed run", key)
		}
	}
}

func TestDirectoryIsForRootOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	if _, err := (secret.Issuer{Store: secret.Directory{Path: dir}}).Ensure(context.Background(), secret.Authorities()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v; want 0700", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(secret.Authorities()) {
		t.Fatalf("got %d files, %v", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want 0600", entry.Name(), info.Mode(), err)
		}
	}
}

func TestObjectRoundTrip(t *testing.T) {
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(context.Background(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for key, s := range set {
		object, err := secret.Object(s)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := names[object.Name]; ok {
			t.Errorf("%s and %s are both called %s", key, other, object.Name)
		}
		names[object.Name] = key
		back, err := secret.FromObject(object)
		if err != nil || back.Spec.Checksum() != s.Spec.Checksum() {
			t.Errorf("%s: the Spec did not survive: %v", key, err)
		}
		if object.Labels["manager-identity"] != secret.ManagerIdentity || object.Labels["name"] != s.Spec.Name {
			t.Errorf("%s: a gardenlet would not find it: %v", key, object.Labels)
		}
	}
	if names["ca"] != "ca" || names["ca-client"] == "ca-client" {
		t.Error("authorities keep their plain name, except ca-client (contract control-plane §2)")
	}
}

func TestPlaceholdersHaveTheKeysOfIssuedOnes(t *testing.T) {
	issued, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(context.Background(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	shown := secret.Placeholders(wanted())
	for key, s := range issued {
		if len(shown[key].Data) != len(s.Data) {
			t.Errorf("%s: %d placeholders for %d values", key, len(shown[key].Data), len(s.Data))
		}
		for name := range s.Data {
			if len(shown[key].Data[name]) == 0 {
				t.Errorf("%s/%s has no placeholder", key, name)
			}
		}
	}
}
