package source

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gardenadm/gardenadm/internal/bundle/bundletest"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
)

// served is a registry that counts what is downloaded and can refuse.
type served struct {
	host string

	mu     sync.Mutex
	blobs  map[string]int // downloads by digest
	refuse func(*http.Request) int
}

func serve(t *testing.T, refuse func(*http.Request) int) *served {
	t.Helper()
	out := &served{blobs: map[string]int{}}
	behind := bundletest.Registry()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out.mu.Lock()
		if _, digest, ok := strings.Cut(r.URL.Path, "/blobs/"); ok && r.Method == http.MethodGet {
			out.blobs[digest]++
		}
		refuse := out.refuse
		out.mu.Unlock()
		if refuse != nil {
			if code := refuse(r); code != 0 {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(code)
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	out.host = strings.TrimPrefix(server.URL, "http://")
	out.refuse = refuse
	return out
}

func (s *served) set(refuse func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

func (s *served) downloads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, times := range s.blobs {
		n += times
	}
	return n
}

func (s *served) push(t *testing.T, path string, what mutate.Appendable, options ...remote.Option) {
	t.Helper()
	bundletest.Push(t, s.host+"/"+path, what, options...)
}

// from opens a source with one image, the reference of which begins behind the host.
func (s *served) from(t *testing.T, cache, reference string, changes ...func(*RegistryConfig)) *Source {
	t.Helper()
	sources, err := image.Parse([]byte(`images: [{name: tool, ref: "` + s.host + "/" + reference + `"}]`))
	if err != nil {
		t.Fatal(err)
	}
	at, err := sources.Find("tool", "1.36.3", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	config := RegistryConfig{Locations: map[string]image.Location{"tool": at}, Platform: amd64(), Cache: cache, Keychain: keychain{}}
	for _, change := range changes {
		change(&config)
	}
	out, err := Registry(config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// keychain has the credentials of one user, or of nobody.
type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	if k.user == "" {
		return authn.Anonymous, nil
	}
	return &authn.Basic{Username: k.user, Password: k.password}, nil
}

func TestRegistry(t *testing.T) {
	wanted := tool(t, "amd64")
	digest := bundletest.Digest(t, wanted).String()
	s := serve(t, nil)
	s.push(t, "mirror/tool:v1", wanted)
	index := bundletest.Index(t, map[string]v1.Image{"unknown": tool(t, "unknown"), "arm64": tool(t, "arm64"), "amd64": wanted})
	s.push(t, "mirror/tool:all", index)
	s.push(t, "mirror/docker:v1", mutate.MediaType(wanted, types.DockerManifestSchema2))
	for name, c := range map[string]struct{ reference, named string }{
		"by tag":                           {"mirror/tool:v1", "mirror/tool:v1"},
		"by digest":                        {"mirror/tool@" + digest, "mirror/tool:" + strings.ReplaceAll(digest, ":", "-")},
		"by tag and digest":                {"mirror/tool:v1@" + digest, "mirror/tool:v1"},
		"of several platforms":             {"mirror/tool:all", "mirror/tool:all"},
		"of several platforms, by digest":  {"mirror/tool:all@" + bundletest.Digest(t, index).String(), "mirror/tool:all"},
		"a digest counts more than a tag":  {"mirror/tool:old@" + digest, "mirror/tool:old"},
		"tag of one, digest of the others": {"mirror/tool:v1@" + bundletest.Digest(t, index).String(), "mirror/tool:v1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.from(t, t.TempDir(), c.reference).Fetch(t.Context(), "tool")
			if err != nil {
				t.Fatal(err)
			}
			if got.Reference != s.host+"/"+c.named {
				t.Errorf("it is called %s", got.Reference)
			}
			same(t, got, wanted)
		})
	}
	got, err := s.from(t, t.TempDir(), "mirror/docker:v1").Fetch(t.Context(), "tool")
	if err != nil || got.Descriptor.MediaType != types.DockerManifestSchema2 {
		t.Errorf("an image in Docker's format: %v", err)
	}
}

func TestRegistryThatRefuses(t *testing.T) {
	code := func(code int) func(*http.Request) int { return func(*http.Request) int { return code } }
	onBlobs := func(code int) func(*http.Request) int {
		return func(r *http.Request) int {
			if strings.Contains(r.URL.Path, "/blobs/") {
				return code
			}
			return 0
		}
	}
	for name, c := range map[string]struct {
		refuse          func(*http.Request) int
		reference       string
		cause, evidence string // of the error and the advice
	}{
		"no such image":         {nil, "mirror/none:v1", "NAME_UNKNOWN", "put the image"},
		"no such tag":           {nil, "mirror/tool:v2", "MANIFEST_UNKNOWN", "--image-vector-overwrite"},
		"no credentials":        {code(http.StatusUnauthorized), "mirror/tool:v1", "401", "docker login 127.0.0.1"},
		"no rights":             {onBlobs(http.StatusForbidden), "mirror/tool:v1", "403", "docker login 127.0.0.1"},
		"a server that is sick": {onBlobs(http.StatusNotImplemented), "mirror/tool:v1", "501", "run it again"},
		"another platform":      {nil, "mirror/arm:v1", "it is made for linux/arm64: the bundle is to be for another platform, linux/amd64", "--platform"},
		"other platforms":       {nil, "mirror/arm:all", "it is made for linux/arm64, linux/unknown", "--platform"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			s.push(t, "mirror/tool:v1", tool(t, "amd64"))
			s.push(t, "mirror/arm:v1", tool(t, "arm64"))
			s.push(t, "mirror/arm:all", bundletest.Index(t, map[string]v1.Image{"unknown": tool(t, "unknown"), "arm64": tool(t, "arm64")}))
			s.set(c.refuse)
			_, err := s.from(t, t.TempDir(), c.reference).Fetch(t.Context(), "tool")
			var refused *fault.Error
			if !errors.As(err, &refused) || refused.Code != fault.ImageSource || !strings.Contains(err.Error(), c.cause) || !strings.Contains(refused.Fix, c.evidence) {
				t.Errorf("got %v, advice %q", err, refused.Fix)
			}
		})
	}
}

func TestRegistryWithCredentials(t *testing.T) {
	wanted := tool(t, "amd64")
	s := serve(t, func(r *http.Request) int {
		if user, password, _ := r.BasicAuth(); user != "gardener" || password != "secret" {
			return http.StatusUnauthorized
		}
		return 0
	})
	s.push(t, "tool:v1", wanted, remote.WithAuth(&authn.Basic{Username: "gardener", Password: "secret"}))
	as := func(password string) *Source {
		return s.from(t, t.TempDir(), "tool:v1", func(c *RegistryConfig) { c.Keychain = keychain{"gardener", password} })
	}
	got, err := as("secret").Fetch(t.Context(), "tool")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, wanted)
	if _, err := as("hidden").Fetch(t.Context(), "tool"); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("with the wrong password: %v", err)
	}

	// The same from the file that docker login writes.
	directory := t.TempDir()
	config := `{"auths": {"` + s.host + `": {"username": "gardener", "password": "secret"}}}`
	if err := os.WriteFile(filepath.Join(directory, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", directory)
	if _, err := s.from(t, t.TempDir(), "tool:v1", func(c *RegistryConfig) { c.Keychain = nil }).Fetch(t.Context(), "tool"); err != nil {
		t.Errorf("with docker's file: %v", err)
	}
}

func TestRegistryWithItsOwnAuthority(t *testing.T) {
	server := httptest.NewTLSServer(bundletest.Registry())
	defer server.Close()
	s := &served{host: strings.TrimPrefix(server.URL, "https://")}
	wanted := tool(t, "amd64")
	s.push(t, "tool:v1", wanted, remote.WithTransport(server.Client().Transport))
	_, err := s.from(t, t.TempDir(), "tool:v1").Fetch(t.Context(), "tool")
	var refused *fault.Error
	if !errors.As(err, &refused) || !strings.Contains(refused.Fix, "--registry-ca") {
		t.Errorf("with the system's authorities: %v", err)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	got, err := s.from(t, t.TempDir(), "tool:v1", func(c *RegistryConfig) { c.CAs = authority }).Fetch(t.Context(), "tool")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, wanted)
	if _, err := Registry(RegistryConfig{CAs: []byte("no certificate")}); err == nil || !strings.Contains(err.Error(), "no certificate in it") {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestPlainHTTP(t *testing.T) {
	for url, allowed := range map[string]bool{
		"https://registry.test/v2/":    true,
		"http://127.0.0.1:5000/v2/":    true,
		"http://[::1]:5000/v2/":        true,
		"http://localhost:5000/v2/":    true,
		"http://plain.test:5000/v2/":   true,
		"http://registry.test/v2/":     false,
		"http://plain.test/v2/":        false,
		"http://192.168.0.1:5000/v2/":  false,
		"http://10.0.0.1/v2/":          false,
		"http://localhost.test/v2/":    false,
		"http://127.0.0.1.test:80/v2/": false,
	} {
		reached := false
		guard := &guard{RoundTripper: roundTripper(func() { reached = true }), plain: "plain.test:5000"}
		request := httptest.NewRequest(http.MethodGet, url, nil)
		if _, err := guard.RoundTrip(request); reached != allowed || allowed != (err == nil) { //nolint:bodyclose // there is none
			t.Errorf("%s: reached %t, %v", url, reached, err)
		}
	}
}

// Private addresses are asked without TLS after any failure: the advice is about the failure.
func TestAdviceForPrivateAddresses(t *testing.T) {
	led := &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"http://10.0.0.2/v2/"}}, Body: http.NoBody}
	for name, c := range map[string]struct {
		answer *http.Response
		err    error
		want   string
	}{
		"unknown authority": {nil, x509.UnknownAuthorityError{}, "--registry-ca"},
		"plain HTTP":        {nil, http.ErrSchemeMismatch, "--images http://10.0.0.1:5000/"},
		"down":              {nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "check that this machine reaches 10.0.0.1:5000"},
		"silent":            {nil, errSilent, "check that this machine reaches 10.0.0.1:5000"},
		"leads elsewhere":   {led, nil, "lead to an address with https"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &registry{
				RegistryConfig: RegistryConfig{Locations: map[string]image.Location{"tool": {Repository: "10.0.0.1:5000/tool", Tag: "v1"}}},
				manifests:      map[v1.Hash][]byte{},
			}
			var err error
			r.puller, err = remote.NewPuller(remote.WithTransport(&guard{RoundTripper: answers{c.answer, c.err}}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = (&Source{origin: r, blobs: newCache(t.TempDir()), platform: amd64()}).Fetch(t.Context(), "tool")
			var refused *fault.Error
			if !errors.As(err, &refused) || !strings.Contains(refused.Fix, c.want) {
				t.Errorf("got %v, advice %q", err, refused.Fix)
			}
		})
	}
}

type answers struct {
	*http.Response
	error
}

func (a answers) RoundTrip(request *http.Request) (*http.Response, error) {
	if a.Response != nil {
		a.Request = request
	}
	return a.Response, a.error
}

type roundTripper func()

func (r roundTripper) RoundTrip(*http.Request) (*http.Response, error) {
	r()
	return &http.Response{StatusCode: http.StatusOK}, nil
}

func TestWhatWasDownloadedIsKept(t *testing.T) {
	s := serve(t, nil)
	wanted := tool(t, "amd64")
	s.push(t, "tool:v1", wanted)
	layers, err := wanted.Layers()
	if err != nil {
		t.Fatal(err)
	}
	last := bundletest.Digest(t, layers[1])
	s.set(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, last.String()) {
			return http.StatusNotImplemented
		}
		return 0
	})
	cache := t.TempDir()
	if _, err := s.from(t, cache, "tool:v1").Fetch(t.Context(), "tool"); err == nil {
		t.Fatal("a layer is missing, and nobody noticed")
	}
	s.set(nil)
	before := s.downloads()
	source := s.from(t, cache, "tool:v1")
	if _, err := source.Fetch(t.Context(), "tool"); err != nil {
		t.Fatal(err)
	}
	if got := s.downloads() - before; got != 2 { // the configuration and the missing layer
		t.Errorf("%d downloads after one had failed, want 2", got)
	}

	flip(t, filepath.Join(cache, "sha256", last.Hex))
	before = s.downloads()
	got, err := s.from(t, cache, "tool:v1").Fetch(t.Context(), "tool")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, wanted)
	if got := s.downloads() - before; got != 2 {
		t.Errorf("%d downloads after one was damaged, want 2", got)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "sha256", "*.part-*")); err != nil || len(left) > 0 {
		t.Errorf("the cache keeps %v, %v", left, err)
	}
}

func TestImagesThatShareALayerDownloadItOnce(t *testing.T) {
	s := serve(t, nil)
	shared := bundletest.Layer(t, types.OCILayer, bundletest.File{Name: "a", Content: "shared"})
	locations := map[string]image.Location{}
	for _, name := range []string{"a", "b", "c", "d"} {
		s.push(t, name+":v1", bundletest.Image(t, "amd64", shared, bundletest.Layer(t, types.OCILayer, bundletest.File{Name: name, Content: name})))
		locations[name] = image.Location{Repository: s.host + "/" + name, Tag: "v1"}
	}
	source, err := Registry(RegistryConfig{Locations: locations, Platform: amd64(), Cache: t.TempDir(), Keychain: keychain{}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for name := range locations {
		wg.Go(func() {
			if _, err := source.Fetch(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.blobs[bundletest.Digest(t, shared).String()]; got != 1 {
		t.Errorf("the shared layer was downloaded %d times", got)
	}
}
