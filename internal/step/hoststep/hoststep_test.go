package hoststep

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// machine is a machine in memory with short words for what the tests do to it.
type machine struct {
	*hosttest.Fake
	*host.Host
	t *testing.T
}

func newMachine(t *testing.T) machine {
	t.Helper()
	fake := hosttest.New()
	return machine{fake, fake.Host(), t}
}

func (m machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// write is somebody else's change.
func (m machine) write(path, content string, mode fs.FileMode) {
	m.t.Helper()
	m.must(m.Files.Write(m.t.Context(), path, strings.NewReader(content), mode))
	m.ClearLog()
}

func (m machine) read(path string) string {
	m.t.Helper()
	raw, err := m.Files.Read(m.t.Context(), path)
	m.must(err)
	return string(raw)
}

func (m machine) mode(path string) fs.FileMode {
	m.t.Helper()
	info, err := m.Files.Stat(m.t.Context(), path)
	m.must(err)
	return info.Mode
}

func (m machine) unchanged(why string) {
	m.t.Helper()
	if log := m.Log(); len(log) > 0 {
		m.t.Errorf("%s: changed %q", why, log)
	}
}

func TestClusterUIDIsMadeOnce(t *testing.T) {
	m := newMachine(t)
	uid, err := ClusterUID(t.Context(), m.Host, "")
	m.must(err)
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(uid) {
		t.Errorf("%q is not a random UUID", uid)
	}
	if m.mode(layout.FileShootUID) != 0o600 || m.mode(layout.DirState).Perm() != 0o700 {
		t.Errorf("modes are %v and %v", m.mode(layout.FileShootUID), m.mode(layout.DirState))
	}
	m.ClearLog()
	again, err := ClusterUID(t.Context(), m.Host, "")
	m.must(err)
	if again != uid {
		t.Errorf("second time %q, first %q", again, uid)
	}
	m.unchanged("identity is there")
	other, err := ClusterUID(t.Context(), newMachine(t).Host, "")
	m.must(err)
	if other == uid {
		t.Error("two machines make the same identity")
	}
}

// status finds the cluster's identity on disk, and a garden compares it with the Shoot's.
func TestClusterUIDOfTheManifestsIsKept(t *testing.T) {
	const wanted = "0b2d2a63-7e2c-4e29-9d51-5d4f1d1c9d3e"
	m := newMachine(t)
	if uid, err := ClusterUID(t.Context(), m.Host, wanted); err != nil || uid != wanted {
		t.Fatalf("got %q, %v", uid, err)
	}
	raw, err := m.Files.Read(t.Context(), layout.FileShootUID)
	if err != nil || string(raw) != wanted+"\n" {
		t.Errorf("the disk has %q, %v", raw, err)
	}
	m.ClearLog()
	for _, same := range []string{wanted, ""} {
		if uid, err := ClusterUID(t.Context(), m.Host, same); err != nil || uid != wanted {
			t.Errorf("again with %q: %q, %v", same, uid, err)
		}
	}
	var refused *fault.Error
	if _, err := ClusterUID(t.Context(), m.Host, "another"); !errors.As(err, &refused) || refused.Code != fault.OtherIdentity {
		t.Errorf("another cluster's manifests: %v", err)
	}
	m.unchanged("identity is there")
}

func TestClusterUIDIsNotReplacedWhenItCannotBeRead(t *testing.T) {
	m := newMachine(t)
	m.FailOn("read "+layout.FileShootUID, errors.New("input/output error"))
	if _, err := ClusterUID(t.Context(), m.Host, ""); err == nil {
		t.Error("no error")
	}
	m.unchanged("identity cannot be read")
}

func TestInstallProgram(t *testing.T) {
	for name, c := range map[string]struct {
		installed string
		mode      fs.FileMode
		changes   int
	}{
		"not installed":      {"", 0, 1},
		"the same":           {"new", 0o755, 0},
		"another version":    {"old", 0o755, 1},
		"not executable":     {"new", 0o644, 1},
		"writable by others": {"new", 0o777, 1},
	} {
		m := newMachine(t)
		m.write("/root/gardenadm", "new", 0o700)
		if c.installed != "" {
			m.write(layout.FileGardenadm, c.installed, c.mode)
		}
		m.must(InstallProgram(t.Context(), m.Host, "/root/gardenadm"))
		if got := len(m.Log()); got != c.changes {
			t.Errorf("%s: %d changes, want %d: %q", name, got, c.changes, m.Log())
		}
		if m.read(layout.FileGardenadm) != "new" || m.mode(layout.FileGardenadm) != 0o755 {
			t.Errorf("%s: installed %q with mode %v", name, m.read(layout.FileGardenadm), m.mode(layout.FileGardenadm))
		}
	}
	m := newMachine(t)
	if err := InstallProgram(t.Context(), m.Host, "/root/gardenadm"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no running program: %v", err)
	}
}

func TestSetUpShellAddsOneBlockAndKeepsTheRest(t *testing.T) {
	block := withBlock("")
	older := strings.Replace(block, layout.FileAdminKubeconfig, "/old/admin.conf", 1)
	if older == block {
		t.Fatal("the block does not name the kubeconfig")
	}
	for name, c := range map[string]struct{ have, want string }{
		"empty":                 {"", block},
		"users' lines":          {"alias l=ls\n", "alias l=ls\n" + block},
		"no newline at the end": {"alias l=ls", "alias l=ls\n" + block},
		"block is there":        {"a\n" + block + "b\n", "a\n" + block + "b\n"},
		"older block":           {"a\n" + older + "b\n", "a\n" + block + "b\n"},
		"block without newline": {"a\n" + strings.TrimSuffix(block, "\n"), "a\n" + block},
		"end without a begin":   {profileEnd + "\na\n", profileEnd + "\na\n" + block},
		"begin without an end":  {profileBegin + "\na\n", profileBegin + "\na\n" + block},
	} {
		m := newMachine(t)
		m.write(rootProfile, c.have, 0o600)
		m.must(SetUpShell(t.Context(), m.Host))
		if got := m.read(rootProfile); got != c.want {
			t.Errorf("%s:\n got  %q\n want %q", name, got, c.want)
		}
		if m.mode(rootProfile) != 0o600 {
			t.Errorf("%s: mode became %v", name, m.mode(rootProfile))
		}
		m.ClearLog()
		m.must(SetUpShell(t.Context(), m.Host))
		m.unchanged(name + ", second time")
	}
}

func TestSetUpShellMakesAMissingProfile(t *testing.T) {
	m := newMachine(t)
	m.must(SetUpShell(t.Context(), m.Host))
	if m.read(rootProfile) != withBlock("") || m.mode(rootProfile) != 0o644 {
		t.Errorf("made %q with mode %v", m.read(rootProfile), m.mode(rootProfile))
	}
}

func TestSetUpShellLeavesALinkAlone(t *testing.T) {
	m := newMachine(t)
	m.write("/dotfiles/bashrc", "mine\n", 0o644)
	m.must(m.Files.Symlink(t.Context(), "/dotfiles/bashrc", rootProfile))
	m.ClearLog()
	m.must(SetUpShell(t.Context(), m.Host))
	m.unchanged("profile is a link")
}

// issued returns real secrets of a cluster with one node.
func issued(t *testing.T) secret.Set {
	t.Helper()
	specs := slices.Concat(secret.Authorities(), KubeletSecrets(componenttest.Node()))
	set, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), specs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestIdentifyKubelet(t *testing.T) {
	m, set, node := newMachine(t), issued(t), componenttest.Node()
	m.must(IdentifyKubelet(t.Context(), m.Host, componenttest.Cluster(t), node, set))

	info, err := m.Files.Stat(t.Context(), layout.FileKubeletCert)
	m.must(err)
	if info.Mode&fs.ModeSymlink == 0 || m.mode(info.Target) != 0o600 {
		t.Errorf("%s: mode %v, and its target %s has mode %v", layout.FileKubeletCert, info.Mode, info.Target, m.mode(info.Target))
	}
	want := string(set.Get(kubeletClient, node.Name, secret.DataCert)) + string(set.Get(kubeletClient, node.Name, secret.DataKey))
	if got := m.read(layout.FileKubeletCert); got != want {
		t.Error("the certificate file does not hold the certificate and then its key")
	}
	if m.mode(layout.FileKubeletConf) != 0o600 || m.mode(layout.DirKubelet).Perm() != 0o700 {
		t.Errorf("modes are %v and %v", m.mode(layout.FileKubeletConf), m.mode(layout.DirKubelet))
	}
	config, err := clientcmd.Load([]byte(m.read(layout.FileKubeletConf)))
	m.must(err)
	for name, user := range config.AuthInfos {
		if user.ClientCertificate != layout.FileKubeletCert || user.ClientKey != layout.FileKubeletCert || len(user.ClientKeyData) > 0 {
			t.Errorf("user %s does not read %s, which the kubelet rotates", name, layout.FileKubeletCert)
		}
	}
	for _, server := range config.Clusters {
		if server.InsecureSkipTLSVerify || string(server.CertificateAuthorityData) != string(set.Get(secret.AuthorityCluster, "", secret.DataCACert)) {
			t.Error("the kubeconfig does not trust the cluster's authority alone")
		}
	}
	if len(config.AuthInfos) != 1 || len(config.Clusters) != 1 {
		t.Errorf("kubeconfig has %d users and %d clusters", len(config.AuthInfos), len(config.Clusters))
	}
}

func TestIdentifyKubeletKeepsARotatedCertificate(t *testing.T) {
	m, node := newMachine(t), componenttest.Node()
	m.must(IdentifyKubelet(t.Context(), m.Host, componenttest.Cluster(t), node, issued(t)))
	rotated := "/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem"
	m.write(rotated, "rotated", 0o600)
	m.must(m.Files.Symlink(t.Context(), rotated, layout.FileKubeletCert))

	m.must(IdentifyKubelet(t.Context(), m.Host, componenttest.Cluster(t), node, issued(t)))
	if got := m.read(layout.FileKubeletCert); got != "rotated" {
		t.Error("the rotated certificate was replaced")
	}
}

// A run that was killed before the link leaves a file; the next run completes it.
func TestIdentifyKubeletCompletesAKilledRun(t *testing.T) {
	m, node, set := newMachine(t), componenttest.Node(), issued(t)
	m.FailOn("link "+layout.FileKubeletCert, errors.New("killed"))
	if err := IdentifyKubelet(t.Context(), m.Host, componenttest.Cluster(t), node, set); err == nil {
		t.Fatal("no error")
	}
	m.FailOn("link "+layout.FileKubeletCert, nil)
	m.must(IdentifyKubelet(t.Context(), m.Host, componenttest.Cluster(t), node, set))
	if !strings.HasPrefix(m.read(layout.FileKubeletCert), string(set.Get(kubeletClient, node.Name, secret.DataCert))) {
		t.Error("the kubelet has no certificate")
	}
}

func TestMakeEtcdData(t *testing.T) {
	m, c, node := newMachine(t), componenttest.Cluster(t), componenttest.Node()
	var got host.Command
	m.OnRun(layout.FileEtcdData, func(_ context.Context, command host.Command) (host.Output, error) {
		got = command
		return host.Output{}, nil
	})
	m.must(MakeEtcdData(t.Context(), m.Host, c, node))
	want := []string{
		"create", "--data-dir=/var/lib/etcd-main/data/new.etcd", "--name=machine-0",
		"--initial-advertise-peer-urls=https://10.250.0.10:2380", "--initial-cluster=machine-0=https://10.250.0.10:2380",
		"--initial-cluster-token=" + c.UID + ".1", "--owner=65532:65532",
	}
	if !slices.Equal(got.Args, want) {
		t.Errorf("arguments are\n %q, want\n %q", got.Args, want)
	}
	if len(got.Env) > 0 || got.Stdin != nil {
		t.Errorf("the program gets environment %q and input %v", got.Env, got.Stdin)
	}
	first := []string{"mkdir /var/lib/etcd-main 0:0 0700", "mkdir /var/lib/etcd-main/data 65532:65532 0700"}
	if log := m.Log(); len(log) != 3 || !slices.Equal(log[:2], first) {
		t.Errorf("changes are %q, want first %q and then the program", log, first)
	}

	refused := errors.New("refused")
	m.OnRun(layout.FileEtcdData, func(context.Context, host.Command) (host.Output, error) { return host.Output{}, refused })
	if err := MakeEtcdData(t.Context(), m.Host, c, node); !errors.Is(err, refused) {
		t.Errorf("got %v, want what the program says", err)
	}
}

func wanted() []secret.Spec {
	return append(secret.Authorities(), secret.ServiceAccountKey(), secret.EtcdClient(), secret.Spec{Name: "encryption-key", Kind: secret.SymmetricKey})
}

func TestIssueSecretsBesideEtcdData(t *testing.T) {
	all, err := secret.Issuer{Store: &secret.Memory{}}.Ensure(t.Context(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lost   []string // keys
		data   bool
		refuse bool
	}{
		"a new machine":                     {all.Keys(), false, false},
		"an interrupted first run":          {[]string{secret.AuthorityEtcd, "encryption-key"}, false, false},
		"everything is there":               {nil, true, false},
		"a certificate can be issued again": {[]string{"etcd-client"}, true, false},
		"all are forgotten":                 {all.Keys(), true, true},
		"an authority is lost":              {[]string{secret.AuthorityEtcd}, true, true},
		"the key of tokens is lost":         {[]string{"service-account-key"}, true, true},
		"the key of encryption is lost":     {[]string{"encryption-key"}, true, true},
	} {
		m, store := newMachine(t), &secret.Memory{}
		for _, key := range all.Keys() {
			if !slices.Contains(c.lost, key) {
				m.must(store.Save(t.Context(), all[key]))
			}
		}
		if c.data {
			m.must(m.Files.MakeDir(t.Context(), layout.DirEtcdData, host.Owner{UID: layout.UID}, 0o700))
		}
		set, err := IssueSecrets(t.Context(), m.Host, store, wanted())
		kept, loadErr := store.Load(t.Context())
		m.must(loadErr)
		if c.refuse {
			if !errors.Is(err, ErrControlPlaneWithoutSecrets) || len(set) > 0 || len(kept) != len(all)-len(c.lost) {
				t.Errorf("%s: got %v and %d secrets, want a refusal and nothing issued", name, err, len(kept))
			}
			continue
		}
		if err != nil || !slices.Equal(set.Keys(), all.Keys()) || !slices.Equal(kept.Keys(), all.Keys()) {
			t.Errorf("%s: got %v, %q; kept %q", name, err, set.Keys(), kept.Keys())
		}
	}
}

func TestIssueSecretsRefusesWhenItCannotLook(t *testing.T) {
	m, store := newMachine(t), &secret.Memory{}
	m.FailOn("stat "+layout.DirEtcdData, errors.New("input/output error"))
	if _, err := IssueSecrets(t.Context(), m.Host, store, wanted()); err == nil {
		t.Error("no error")
	}
	if kept, _ := store.Load(t.Context()); len(kept) > 0 {
		t.Errorf("issued %q", kept.Keys())
	}
}

func TestBootstrapKubeconfig(t *testing.T) {
	set := issued(t)
	raw, err := BootstrapKubeconfig(t.Context(), componenttest.Cluster(t), set)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(raw)
	if err != nil {
		t.Fatal(err)
	}
	user := config.AuthInfos["gardenadm"]
	block, _ := pem.Decode(user.ClientCertificateData)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cert.Subject.Organization, []string{"system:masters"}) || cert.IsCA {
		t.Errorf("organization is %q, authority %v", cert.Subject.Organization, cert.IsCA)
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); life > 26*time.Hour {
		t.Errorf("it lives for %v", life)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(set.Get(secret.AuthorityClient, "", secret.DataCACert))
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the API server would not accept it: %v", err)
	}
	for key, one := range set {
		for name, data := range one.Data {
			if string(data) == string(user.ClientKeyData) {
				t.Errorf("its key is stored as %s of %s", name, key)
			}
		}
	}
	if server := config.Clusters["gardenadm"]; string(server.CertificateAuthorityData) != string(set.Get(secret.AuthorityCluster, "", secret.DataCACert)) {
		t.Error("it does not trust the cluster's authority")
	}
	before := len(set)
	if _, err := BootstrapKubeconfig(t.Context(), componenttest.Cluster(t), set); err != nil || len(set) != before {
		t.Errorf("the set grew from %d to %d: it would be kept (%v)", before, len(set), err)
	}
	if _, err := BootstrapKubeconfig(t.Context(), componenttest.Cluster(t), secret.Set{}); err == nil {
		t.Error("without the authority of clients, it is signed by one that nobody trusts")
	}
}
