package host_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// These tests hand what we render to containerd's own loader and resolver, those of its client library.

// content is of the only image: its manifest, and its only layer.
const content = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`

// challenge is what a registry asks for before it hands out images.
type challenge string

const (
	nothing challenge = "nothing"
	basic   challenge = "basic"
	token   challenge = "token"
)

// images is a registry that remembers how it was asked.
type images struct {
	*httptest.Server
	challenge challenge
	empty     bool   // it has no image
	elsewhere string // where it sends those who want a layer

	mu   sync.Mutex
	seen []string // path and kind of authorization
}

func newImages(t *testing.T, challenge challenge) *images {
	t.Helper()
	out := &images{challenge: challenge}
	out.Server = httptest.NewUnstartedServer(out)
	out.Config.ErrorLog = log.New(io.Discard, "", 0)
	out.StartTLS()
	t.Cleanup(out.Close)
	return out
}

func (i *images) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	authorization := r.Header.Get("Authorization")
	kind, _, _ := strings.Cut(authorization, " ")
	i.mu.Lock()
	i.seen = append(i.seen, r.URL.Path+" "+kind)
	i.mu.Unlock()

	known := authorization == registry.Basic("user", "pass:word")
	layer := strings.Contains(r.URL.Path, "/blobs/")
	switch {
	case r.URL.Path == "/token" && known:
		_, _ = io.WriteString(w, `{"token": "t"}`)
	case r.URL.Path == "/token":
		w.WriteHeader(http.StatusUnauthorized)
	case i.challenge == basic && !known:
		w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
		w.WriteHeader(http.StatusUnauthorized)
	case i.challenge == token && authorization != "Bearer t":
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="images",scope="repository:library/a:pull"`, i.URL))
		w.WriteHeader(http.StatusUnauthorized)
	case i.empty:
		w.WriteHeader(http.StatusNotFound)
	case layer && i.elsewhere != "":
		http.Redirect(w, r, i.elsewhere, http.StatusTemporaryRedirect)
	default:
		if !layer {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", digest.FromString(content).String())
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, content)
		}
	}
}

// asked says whether somebody asked with a kind of authorization.
func (i *images) asked(kind string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, one := range i.seen {
		if strings.HasSuffix(one, " "+kind) {
			return true
		}
	}
	return false
}

func (i *images) host(t *testing.T) registry.Host {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return registry.Host{URL: i.URL, Capabilities: []string{"pull", "resolve"}, CACerts: []string{file}}
}

func (i *images) withLogin(t *testing.T) registry.Host {
	t.Helper()
	out := i.host(t)
	out.Authorization = registry.Basic("user", "pass:word")
	return out
}

// pull fetches manifest and layer of library/a:1 of a registry, as containerd does with this hosts.toml of directory.
func pull(t *testing.T, image, directory string, hosts []byte) error {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, directory), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, directory, "hosts.toml"), hosts, 0o600); err != nil {
		t.Fatal(err)
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(root)})})
	name, manifest, err := resolver.Resolve(t.Context(), image+"/library/a:1")
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(t.Context(), name)
	if err != nil {
		return err
	}
	layer := manifest
	layer.MediaType = ocispec.MediaTypeImageLayer
	if err := fetch(t.Context(), fetcher, manifest); err != nil {
		return err
	}
	return fetch(t.Context(), fetcher, layer)
}

func fetch(ctx context.Context, fetcher remotes.Fetcher, what ocispec.Descriptor) error {
	reader, err := fetcher.Fetch(ctx, what)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // only read from
	raw, err := io.ReadAll(reader)
	if err == nil && string(raw) != content {
		err = fmt.Errorf("got %q", raw)
	}
	return err
}

func TestRegistryCredentials(t *testing.T) {
	for _, challenge := range []challenge{basic, token} {
		t.Run("of a mirror: "+string(challenge), func(t *testing.T) {
			mirror, upstream := newImages(t, challenge), newImages(t, nothing)
			if err := pull(t, "docker.io", "docker.io", registry.Render(upstream.host(t), []registry.Host{mirror.withLogin(t)})); err != nil {
				t.Fatal(err)
			}
			if len(upstream.seen) > 0 || !mirror.asked("Basic") {
				t.Errorf("the upstream was asked for %v, the mirror for %v", upstream.seen, mirror.seen)
			}
		})
		t.Run("of the registry itself: "+string(challenge), func(t *testing.T) {
			server := newImages(t, challenge)
			if err := pull(t, "private.example:5000", "private.example:5000", registry.Render(server.withLogin(t), nil)); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("none: "+string(challenge), func(t *testing.T) {
			server := newImages(t, challenge)
			if err := pull(t, "private.example", "private.example", registry.Render(server.host(t), nil)); err == nil {
				t.Error("the registry hands out images without credentials: the test shows nothing")
			}
		})
	}
}

// TestRegistryCredentialsStay: those of a mirror go neither to the next one nor to where a mirror keeps its layers.
func TestRegistryCredentialsStay(t *testing.T) {
	first, second := newImages(t, basic), newImages(t, basic)
	store := &images{challenge: nothing}
	plain := httptest.NewServer(store)
	t.Cleanup(plain.Close)
	first.empty, second.elsewhere = true, strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)+"/layer"

	hosts := []registry.Host{first.withLogin(t), second.withLogin(t)}
	if err := pull(t, "docker.io", "docker.io", registry.Render(registry.Host{}, hosts)); err != nil {
		t.Fatal(err)
	}
	if !first.asked("Basic") || !second.asked("Basic") || len(store.seen) == 0 {
		t.Errorf("somebody was not asked: %v %v %v", first.seen, second.seen, store.seen)
	}
	if store.asked("Basic") {
		t.Error("the store got the mirror's credentials")
	}

	first.seen, second.seen = nil, nil
	hosts[1].Authorization, second.challenge = "", nothing
	if err := pull(t, "docker.io", "docker.io", registry.Render(registry.Host{}, hosts)); err != nil {
		t.Fatal(err)
	}
	if !first.asked("Basic") || second.asked("Basic") {
		t.Errorf("the second mirror got the credentials of the first: %v", second.seen)
	}
}

// TestRegistryOrder: mirrors in their order, then the registry itself.
func TestRegistryOrder(t *testing.T) {
	empty, full, upstream, closed, foreign := newImages(t, nothing), newImages(t, nothing), newImages(t, nothing), newImages(t, nothing), newImages(t, nothing)
	empty.empty = true
	down, untrusted := closed.host(t), foreign.host(t)
	closed.Close()
	untrusted.CACerts = nil

	tests := map[string]struct {
		mirrors    []registry.Host
		asked, not []*images
	}{
		"first answers":        {[]registry.Host{full.host(t), empty.host(t)}, []*images{full}, []*images{empty, upstream}},
		"first is down":        {[]registry.Host{down, full.host(t)}, []*images{full}, []*images{upstream}},
		"first is not trusted": {[]registry.Host{untrusted, full.host(t)}, []*images{full}, []*images{upstream, foreign}},
		"first has it not":     {[]registry.Host{empty.host(t), full.host(t)}, []*images{empty, full}, []*images{upstream}},
		"none has it":          {[]registry.Host{down, empty.host(t)}, []*images{empty, upstream}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, one := range []*images{empty, full, upstream} {
				one.seen = nil
			}
			if err := pull(t, "quay.io", "quay.io", registry.Render(upstream.host(t), test.mirrors)); err != nil {
				t.Fatal(err)
			}
			for _, one := range test.asked {
				if len(one.seen) == 0 {
					t.Errorf("%s was not asked", one.URL)
				}
			}
			for _, one := range test.not {
				if len(one.seen) > 0 {
					t.Errorf("%s was asked for %v", one.URL, one.seen)
				}
			}
		})
	}
}

// TestRegistryMirrorsOnly: with a server that may only be pushed to, containerd asks nobody behind the mirrors.
func TestRegistryMirrorsOnly(t *testing.T) {
	mirror := newImages(t, nothing)
	hosts := registry.Render(registry.Host{URL: mirror.URL, Capabilities: []string{"push"}}, []registry.Host{mirror.host(t)})
	if err := pull(t, "registry.invalid", "_default", hosts); err != nil {
		t.Fatal(err)
	}
	mirror.empty = true
	err := pull(t, "registry.invalid", "_default", hosts)
	// An upstream that is asked would be looked up, and no name below .invalid exists.
	if err == nil || !strings.Contains(err.Error(), "not found") || strings.Contains(err.Error(), "lookup") {
		t.Errorf("want the mirror's answer, got %v", err)
	}
}
