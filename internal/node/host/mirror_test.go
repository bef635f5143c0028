package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// TestMirrorServesContainerd: containerd's own resolver takes images of all registries from a mirror that stands for all of them
// and has nothing behind it, as on nodes without a way out.
func TestMirrorServesContainerd(t *testing.T) {
	door := hosttest.New().Host()
	names := []string{"bundle.gardenadm.dev/app:v1", "docker.io/library/app:v1", "registry.invalid:5000/team/app:v1"}
	for _, name := range names {
		storeRandom(t, door, name)
	}
	server := httptest.NewUnstartedServer(mirror.New(mirror.Options{
		Images: door.Images, Content: door.Content, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)

	root := t.TempDir()
	authority := filepath.Join(root, "ca.crt")
	ok(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	ok(t, os.Mkdir(filepath.Join(root, "_default"), 0o700))
	hosts := []registry.Host{{URL: server.URL, Capabilities: []string{"pull", "resolve"}, CACerts: []string{authority}}}
	strict := registry.Host{URL: server.URL, Capabilities: []string{"push"}}
	ok(t, os.WriteFile(filepath.Join(root, "_default", "hosts.toml"), registry.Render(strict, hosts), 0o600))

	for _, name := range names {
		if err := pullWhole(t, root, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := pullWhole(t, root, "registry.invalid/unknown:v1")
	if err == nil || !strings.Contains(err.Error(), "not found") || strings.Contains(err.Error(), "lookup") {
		t.Errorf("want the mirror's answer for an unknown image, got %v", err)
	}
}

func storeRandom(t *testing.T, door *host.Host, name string) {
	t.Helper()
	image, err := random.Image(100<<10, 2)
	ok(t, err)
	blobs := memory{}
	manifest, err := image.RawManifest()
	ok(t, err)
	config, err := image.RawConfigFile()
	ok(t, err)
	layers, err := image.Layers()
	ok(t, err)
	blobs.add(manifest)
	blobs.add(config)
	for _, layer := range layers {
		content, err := layer.Compressed()
		ok(t, err)
		data, err := io.ReadAll(content)
		ok(t, err)
		blobs.add(data)
	}
	ok(t, door.Images.Store(t.Context(), host.Image{Name: name, Digest: digest.FromBytes(manifest).String(), Pinned: true}, blobs))
}

// pullWhole resolves a name and fetches all that the image consists of, as containerd does with the hosts.toml below root.
func pullWhole(t *testing.T, root, name string) error {
	t.Helper()
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(root)})})
	name, target, err := resolver.Resolve(t.Context(), name)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(t.Context(), name)
	if err != nil {
		return err
	}
	fetchOne := func(what ocispec.Descriptor) []byte {
		reader, err := fetcher.Fetch(t.Context(), what)
		ok(t, err)
		data, err := io.ReadAll(reader)
		ok(t, err)
		ok(t, reader.Close())
		if got := digest.FromBytes(data); got != what.Digest || int64(len(data)) != what.Size {
			t.Errorf("%s: got %d bytes with digest %s", what.Digest, len(data), got)
		}
		return data
	}
	var manifest ocispec.Manifest
	ok(t, json.Unmarshal(fetchOne(target), &manifest))
	for _, part := range append(manifest.Layers, manifest.Config) {
		fetchOne(part)
	}
	return nil
}

// memory is what an image consists of, by digest.
type memory map[string][]byte

func (m memory) add(data []byte) { m[digest.FromBytes(data).String()] = data }

func (m memory) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	data, there := m[digest]
	if !there {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}
