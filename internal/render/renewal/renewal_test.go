package renewal_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	"github.com/google/go-cmp/cmp"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/render/renewal"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func issued() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// config is what two nodes of a control plane have, with real certificates.
func config(t *testing.T) *extensionsv1alpha1.OperatingSystemConfig {
	t.Helper()
	c := componenttest.Cluster(t)
	other := componenttest.Node()
	other.Name, other.Addresses = "machine-1", []netip.Addr{netip.MustParseAddr("10.250.0.11")}
	nodes := []cluster.Node{componenttest.Node(), other}
	specs, err := pool.Secrets(c, nodes)
	if err != nil {
		t.Fatal(err)
	}
	set, err := secret.Issuer{Store: &secret.Memory{}, Now: issued}.Ensure(t.Context(), specs)
	if err != nil {
		t.Fatal(err)
	}
	images := componenttest.Input(c, nil).Images
	for _, name := range []string{image.Pause, image.CNIPlugins, image.Containerd, image.Hyperkube, image.Runc} {
		images[name] = "registry.test/" + name + ":v0"
	}
	out, err := pool.Config(component.Input{Cluster: c, Images: images, Secrets: set}, nodes, c.ControlPlane)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func apply(t *testing.T, config *extensionsv1alpha1.OperatingSystemConfig, now time.Time) *extensionsv1alpha1.OperatingSystemConfig {
	t.Helper()
	out, err := renewal.Apply(config, now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(t *testing.T, file extensionsv1alpha1.File) string {
	t.Helper()
	inline := file.Content.Inline
	if inline == nil || inline.Encoding == "" {
		if inline == nil {
			return ""
		}
		return inline.Data
	}
	raw, err := base64.StdEncoding.DecodeString(inline.Data)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// leaves are the certificates of a file that are no authorities, also those inside of kubeconfigs.
func leaves(t *testing.T, file extensionsv1alpha1.File) []*x509.Certificate {
	t.Helper()
	all := text(t, file)
	if found := regexp.MustCompile(`client-certificate-data: (\S+)`).FindStringSubmatch(all); found != nil {
		raw, err := base64.StdEncoding.DecodeString(found[1])
		if err != nil {
			t.Fatal(err)
		}
		all += "\n" + string(raw)
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode([]byte(all)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !one.IsCA {
			out = append(out, one)
		}
	}
	return out
}

func key(file extensionsv1alpha1.File) string {
	if file.HostName != nil {
		return *file.HostName + ":" + file.Path
	}
	return file.Path
}

func TestWhatLastsStays(t *testing.T) {
	old := config(t)
	for _, age := range []time.Duration{0, 300 * day, -30 * year} { // the last is a clock that nobody set
		if apply(t, old, issued().Add(age)) != old {
			t.Errorf("at the age of %s the configuration is another one", age)
		}
	}
}

func TestWhatEndedIsRenewed(t *testing.T) {
	old := config(t)
	now := issued().Add(400 * day)
	fresh := apply(t, old, now)
	count := 0
	for at, file := range fresh.Spec.Files {
		before := leaves(t, old.Spec.Files[at])
		for i, leaf := range leaves(t, file) {
			count++
			if now.Before(leaf.NotBefore) || now.Add(year/3).After(leaf.NotAfter) {
				t.Errorf("%s: %s is valid from %s to %s", key(file), leaf.Subject.CommonName, leaf.NotBefore, leaf.NotAfter)
			}
			if diff := cmp.Diff(identity(before[i]), identity(leaf)); diff != "" {
				t.Errorf("%s: another name: %s", key(file), diff)
			}
			if leaf.SerialNumber.Cmp(before[i].SerialNumber) == 0 {
				t.Errorf("%s: the serial number is used twice", key(file))
			}
		}
	}
	if count < 20 {
		t.Errorf("%d certificates are renewed", count)
	}
}

type names struct {
	Subject string
	DNS     []string
	IPs     []string
	Usage   x509.KeyUsage
	Extra   []x509.ExtKeyUsage
	Key     any
}

func identity(c *x509.Certificate) names {
	out := names{Subject: c.Subject.String(), DNS: c.DNSNames, Usage: c.KeyUsage, Extra: c.ExtKeyUsage}
	for _, ip := range c.IPAddresses {
		out.IPs = append(out.IPs, ip.String())
	}
	return out
}

func TestRenewedCertificatesFitTheirKeysAndAuthorities(t *testing.T) {
	now := issued().Add(2 * year)
	fresh := apply(t, config(t), now)
	byPath := map[string]string{}
	for _, file := range fresh.Spec.Files {
		byPath[key(file)] = text(t, file)
	}
	roots := x509.NewCertPool()
	for name, content := range byPath {
		if path.Dir(name) == layout.DirAuthorities && strings.HasSuffix(name, ".crt") {
			roots.AppendCertsFromPEM([]byte(content))
		}
	}
	pairs := 0
	for name, content := range byPath {
		if !strings.HasSuffix(name, "tls.crt") {
			continue
		}
		pair, err := tls.X509KeyPair([]byte(content), []byte(byPath[strings.TrimSuffix(name, "crt")+"key"]))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		pairs++
		options := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if _, err := pair.Leaf.Verify(options); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if pairs < 10 {
		t.Errorf("%d pairs of certificate and key were found", pairs)
	}
}

// Every pod that reads a changed file is to be started again, and every one of the control plane reads some.
func TestStaticPodsAreStartedAgain(t *testing.T) {
	old := config(t)
	fresh := apply(t, old, issued().Add(400*day))
	pods := 0
	for at, file := range fresh.Spec.Files {
		if path.Dir(file.Path) != layout.DirManifests {
			continue
		}
		before, after := text(t, old.Spec.Files[at]), text(t, file)
		if before == after {
			t.Errorf("%s stays as it is", key(file))
		}
		hash := regexp.MustCompile(`config.mirror: (\w+)`)
		if hash.ReplaceAllString(before, "") != hash.ReplaceAllString(after, "") {
			t.Errorf("%s: more than the hash changed", key(file))
		}
		found := hash.FindStringSubmatch(after)
		if found == nil {
			t.Errorf("%s has no hash", key(file))
		}
		pods++
	}
	if pods != 8 {
		t.Errorf("%d static pods", pods)
	}
}

// Whoever computes it again, after a restart or on another machine, changes nothing.
func TestRenewalIsTheSameForHalfALife(t *testing.T) {
	old := config(t)
	first := apply(t, old, issued().Add(400*day))
	if diff := cmp.Diff(first, apply(t, old, issued().Add(500*day))); diff != "" {
		t.Errorf("computed again it differs")
	}
	later := apply(t, old, issued().Add(700*day))
	if cmp.Equal(first, later) {
		t.Error("in the next period it is the same, and will end")
	}
	if cmp.Equal(old, first) {
		t.Error("nothing was renewed")
	}
}

func TestWorkerIsLeftAlone(t *testing.T) {
	old := config(t)
	var files []extensionsv1alpha1.File
	for _, file := range old.Spec.Files {
		if path.Dir(file.Path) != layout.DirAuthorities {
			files = append(files, file)
		}
	}
	old.Spec.Files = files
	if apply(t, old, issued().Add(400*day)) != old {
		t.Error("without an authority something was renewed")
	}
}

func TestDamagedAuthority(t *testing.T) {
	for name, damage := range map[string]func(*extensionsv1alpha1.File){
		"no base64": func(f *extensionsv1alpha1.File) { f.Content.Inline.Data = "%" },
		"no PEM":    func(f *extensionsv1alpha1.File) { f.Content.Inline.Data = "aGVsbG8=" },
	} {
		old := config(t)
		for at := range old.Spec.Files {
			if file := &old.Spec.Files[at]; path.Dir(file.Path) == layout.DirAuthorities && strings.HasSuffix(file.Path, ".key") {
				damage(file)
			}
		}
		if got, err := renewal.Apply(old, issued().Add(400*day)); err == nil || got != old {
			t.Errorf("%s: got %v, want an error and the same configuration", name, err)
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("client-certificate-data: AAAA"), int64(0))
	f.Fuzz(func(t *testing.T, certificate, other []byte, now int64) {
		file := func(path string, data []byte) extensionsv1alpha1.File {
			return extensionsv1alpha1.File{Path: path, Content: extensionsv1alpha1.FileContent{
				Inline: &extensionsv1alpha1.FileContentInline{Data: string(data)},
			}}
		}
		config := &extensionsv1alpha1.OperatingSystemConfig{}
		config.Spec.Files = []extensionsv1alpha1.File{
			file(layout.DirAuthorities+"/ca.crt", certificate), file(layout.DirAuthorities+"/ca.key", other), file("/x", other), file(layout.DirManifests+"/x.yaml", other),
		}
		if out, err := renewal.Apply(config, time.Unix(now, 0)); out == nil || err != nil && out != config {
			t.Errorf("got %v, %v", out, err)
		}
	})
}
