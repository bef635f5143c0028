package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

const (
	registryUser     = "plant"
	registryPassword = "not-in-any-log-7193"
)

// registryConfig is distribution's, with files below /root/registry.
const registryConfig = `
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: /root/registry/data}}
auth: {htpasswd: {realm: plant, path: /root/registry/htpasswd}}
http:
  addr: ":5000"
  tls: {certificate: /root/registry/tls.crt, key: /root/registry/tls.key}
`

// plantName is what the plant calls its registry; only its proxy knows where that is.
const plantName = "registry.plant.example:5000"

// plantAccess is how the nodes of the plant reach its registry: first a mirror that is down; by a proxy what is not in their network.
const plantAccess = `
apiVersion: config.gardenadm.dev/v1alpha1
kind: RegistryAccess
metadata: {name: access}
httpsProxy: http://%[5]s
proxySecretRef: {name: login}
caBundleSecretRef: {name: authority}
registries:
- upstream: docker.io
  mirrors:
  - {url: "https://127.0.0.1:1"}
  - {url: "https://%[1]s", credentialsSecretRef: {name: login}}
- {upstream: "%[1]s", credentialsSecretRef: {name: login}}
- {upstream: "` + plantName + `", credentialsSecretRef: {name: login}}
- {upstream: _default, mirrorsOnly: true, mirrors: [{url: "https://%[1]s", credentialsSecretRef: {name: login}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: garden}
stringData: {username: %[2]s, password: %[3]s}
---
apiVersion: v1
kind: Secret
metadata: {name: authority, namespace: garden}
data: {bundle.crt: %[4]s}
`

// plantRegistry is distribution on a machine of its own, with an authority and a password of its own.
type plantRegistry struct {
	*host
	dir       string // on this computer: ca.crt, docker/config.json
	transport http.RoundTripper
}

// TestRegistry: a bundle is packed from a private registry, and the nodes pull from it with a proxy, a mirror, an authority and a password,
// none of which reaches a static pod or a log.
func TestRegistry(t *testing.T) {
	s := newStory(t)
	r := s.bootRegistry()
	r.pushAll()

	file := filepath.Join(t.TempDir(), "bundle")
	create := []string{"bundle", "create", "--images", r.address() + "/mirror", "--registry-ca", filepath.Join(r.dir, "ca.crt"), "-o", file}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(r.dir, "cache"))
	if out, err := exec.CommandContext(s.ctx, s.program(), create...).CombinedOutput(); err == nil || !strings.Contains(string(out), "GA-1008") {
		t.Errorf("without a password: %v\n%s", err, out)
	}
	t.Setenv("DOCKER_CONFIG", filepath.Join(r.dir, "docker"))
	s.gardenadm(create...)

	proxy := s.startProxy(r.address())
	node := s.bootWith("machine-0", file)
	node.layManifests(s.builtinDirectory(map[string]string{"access.yaml": fmt.Sprintf(plantAccess,
		r.address(), registryUser, registryPassword, base64.StdEncoding.EncodeToString(r.read("ca.crt")), proxy.address())}), "/root/shoot")
	node.run("gardenadm", "init", "-d", "/root/shoot", "--bundle", "/root/bundle")
	check(t, node.allPodsReady(systemPods))

	if asked := proxy.targets(); len(asked) > 0 {
		t.Errorf("init asks the proxy for %q: a bundle has all that it needs", asked)
	}
	for pod, image := range map[string]string{
		"mirrored": "docker.io/library/echo:v1", "proxied": plantName + "/library/echo:v1", "direct": r.address() + "/library/echo:v1", "elsewhere": "registry.example.invalid/library/echo:v1",
	} {
		node.apply(strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf(tolerating, pod), "bundle.gardenadm.dev/test/echo:v1", image), "Never", "Always"))
	}
	s.eventually("images come from the registry", 2*time.Minute, func() error { return node.allPodsReady(systemPods + 4) })
	if asked := proxy.targets(); !slices.Equal(asked, []string{plantName}) {
		t.Errorf("the proxy was asked for %q, want %s alone", asked, plantName)
	}
	t.Run("secrets", node.proxyReachesContainerdOnly)

	r.run("systemctl", "stop", "registry")
	node.apply(strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf(tolerating, "strict"), "bundle.gardenadm.dev/test/echo:v1", "registry.example.invalid/library/other:v1"), "Never", "Always"))
	s.eventually("a pull fails without a look at the upstream", time.Minute, func() error {
		events := node.mustKubectl("get", "events", "--field-selector=involvedObject.name=strict", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(events, "Failed to pull") {
			return fmt.Errorf("the events are %s", events)
		}
		if strings.Contains(events, "lookup registry.example.invalid") {
			t.Errorf("the upstream was asked: %s", events)
		}
		return nil
	})
}

// bootRegistry starts the registry on a machine that gardenadm never sees.
func (s *story) bootRegistry() *plantRegistry {
	s.Helper()
	programs := filepath.Join(s.root, ".local/programs")
	s.goRun("./hack/build", "program", "registry", "-o", programs)
	r := &plantRegistry{host: s.bootBare("registry"), dir: s.TempDir()}
	check(s, os.Mkdir(filepath.Join(r.dir, "docker"), 0o700))
	r.makeAuthority()
	hash, err := bcrypt.GenerateFromPassword([]byte(registryPassword), bcrypt.MinCost)
	check(s, err)
	login := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	r.write("docker/config.json", []byte(fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.address(), login)))
	check(s, r.WriteFile(s.ctx, "/root/registry/htpasswd", []byte(registryUser+":"+string(hash)+"\n"), 0o600))
	check(s, r.WriteFile(s.ctx, "/root/registry/config.yaml", []byte(registryConfig), 0o600))
	for _, file := range []string{"tls.crt", "tls.key"} {
		check(s, r.WriteFile(s.ctx, "/root/registry/"+file, r.read(file), 0o600))
	}
	check(s, r.Copy(s.ctx, filepath.Join(programs, "registry"), "/root/registry/registry"))
	check(s, r.WriteFile(s.ctx, "/etc/systemd/system/registry.service",
		[]byte("[Service]\nEnvironment=OTEL_TRACES_EXPORTER=none\nExecStart=/root/registry/registry serve /root/registry/config.yaml\n"), 0o644))
	r.run("systemctl", "start", "registry")
	s.eventually("the registry answers", 20*time.Second, func() error {
		connection, err := net.DialTimeout("tcp", r.address(), time.Second)
		if err == nil {
			err = connection.Close()
		}
		return err
	})
	return r
}

func (r *plantRegistry) address() string { return net.JoinHostPort(r.Addr().String(), "5000") }

func (r *plantRegistry) write(file string, data []byte) {
	r.story.Helper()
	check(r.story, os.WriteFile(filepath.Join(r.dir, file), data, 0o600))
}

func (r *plantRegistry) read(file string) []byte {
	r.story.Helper()
	raw, err := os.ReadFile(filepath.Join(r.dir, file))
	check(r.story, err)
	return raw
}

// makeAuthority makes the plant's authority and the registry's certificate.
func (r *plantRegistry) makeAuthority() {
	r.story.Helper()
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(r.story, err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "plant"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	authorityRaw, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	check(r.story, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(r.story, err)
	serving := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "registry"}, IPAddresses: []net.IP{r.Addr().AsSlice()}, DNSNames: []string{"registry.plant.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	servingRaw, err := x509.CreateCertificate(rand.Reader, serving, authority, key.Public(), authorityKey)
	check(r.story, err)
	keyRaw, err := x509.MarshalPKCS8PrivateKey(key)
	check(r.story, err)
	r.write("ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityRaw}))
	r.write("tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: servingRaw}))
	r.write("tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyRaw}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.read("ca.crt"))
	r.transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
}

// pushAll fills the registry as a mirror that has all that a cluster needs, and with a workload.
func (r *plantRegistry) pushAll() {
	r.story.Helper()
	wanted := map[string]string{}
	for line := range strings.Lines(r.story.gardenadm("bundle", "create", "--images", r.address()+"/mirror", "--list")) {
		fields := strings.Fields(line)
		wanted[fields[0]] = fields[2]
	}
	for _, one := range r.images(r.story.product(".local/bundle")) {
		r.push(wanted[one.name], one.image)
	}
	r.push(r.address()+"/library/echo:v1", r.images(r.story.testImage())[0].image)
}

type namedImage struct {
	name  string
	image v1.Image
}

func (r *plantRegistry) images(directory string) []namedImage {
	r.story.Helper()
	index, err := layout.ImageIndexFromPath(directory)
	check(r.story, err)
	all, err := index.IndexManifest()
	check(r.story, err)
	var out []namedImage
	for _, descriptor := range all.Manifests {
		one, err := index.Image(descriptor.Digest)
		check(r.story, err)
		out = append(out, namedImage{descriptor.Annotations["dev.gardenadm.image.name"], one})
	}
	return out
}

func (r *plantRegistry) push(reference string, image v1.Image) {
	r.story.Helper()
	to, err := name.ParseReference(reference)
	check(r.story, err)
	check(r.story, remote.Write(to, image, remote.WithContext(r.story.ctx), remote.WithTransport(r.transport),
		remote.WithAuth(&authn.Basic{Username: registryUser, Password: registryPassword})))
}

// builtinDirectory is the built-in cluster as a directory, with further files.
func (s *story) builtinDirectory(more map[string]string) string {
	s.Helper()
	dir := s.TempDir()
	check(s, os.WriteFile(filepath.Join(dir, "builtin.yaml"), []byte(strings.ReplaceAll(s.gardenadm("manifests"), "10.250.0.0/16", "10.89.0.0/16")), 0o600))
	for name, text := range more {
		check(s, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// proxyReachesContainerdOnly: no static pod and not the kubelet know the proxy, and no password is where others read it.
func (h *host) proxyReachesContainerdOnly(t *testing.T) {
	knowing := h.run("bash", "-c", `for p in /proc/[0-9]*; do grep -qaz '^HTTPS_PROXY=' $p/environ 2>/dev/null && cat $p/comm; done | sort -u`)
	if strings.TrimSpace(knowing) != "containerd" && strings.Join(strings.Fields(knowing), " ") != "containerd containerd-shim" {
		t.Errorf("the proxy is known to %q", strings.Fields(knowing))
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	for _, secret := range []string{registryPassword, encoded} {
		for where, command := range map[string]string{
			"a file that others read": `grep -rlF -- "$1" /etc /run/systemd /var/lib/static-pods /var/lib/gardener-node-agent /opt 2>/dev/null | while read -r f; do [ $((0$(stat -c %a "$f") & 077)) = 0 ] || echo "$f"; done`,
			"the journal":             `journalctl --no-pager | grep -F -- "$1" | head -3`,
			"a command line":          `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -vx -- "$1" | grep -F -- "$1" | grep -v "bash -c" | head -3`,
			"systemctl show":          `systemctl show containerd kubelet | grep -F -- "$1" | head -3`,
			"what init prints":        `gardenadm init -d /root/shoot --bundle /root/bundle --dry-run 2>&1 | grep -F -- "$1" | head -3`,
		} {
			if found := h.run("bash", "-c", command+" || true", "look", secret); strings.Contains(found, "/") || strings.Contains(found, secret) {
				t.Errorf("the password is in %s: %s", where, strings.ReplaceAll(found, secret, "<password>"))
			}
		}
	}
}
