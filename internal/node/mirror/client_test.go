package mirror_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
)

var _ agent.Source = (*mirror.Client)(nil)

const (
	tagged = "bundle.gardenadm.dev/hyperkube:v1"
	dir    = "/var/lib/gardenadm/pulled"
)

// unreliable is a mirror that does something wrong with blobs.
type unreliable struct {
	http.Handler
	spoil func(w http.ResponseWriter, r *http.Request) http.ResponseWriter

	asked, sent atomic.Int64
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/blobs/") {
		u.asked.Add(1)
		w = &counted{w, &u.sent}
		if u.spoil != nil {
			w = u.spoil(w, r)
		}
	}
	u.Handler.ServeHTTP(w, r)
}

type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	c.sent.Add(int64(len(b))) // before the client can have it
	return c.ResponseWriter.Write(b)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// dying ends the connection after some bytes.
type dying struct {
	http.ResponseWriter
	left int
}

func (d *dying) Write(b []byte) (int, error) {
	if len(b) < d.left {
		d.left -= len(b)
		return d.ResponseWriter.Write(b)
	}
	_, _ = d.ResponseWriter.Write(b[:d.left])
	_ = http.NewResponseController(d.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func dies(after int) func(http.ResponseWriter, *http.Request) http.ResponseWriter {
	return func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return &dying{w, after} }
}

// lying changes all that it sends.
type lying struct{ http.ResponseWriter }

func (l lying) Write(b []byte) (int, error) {
	lie := bytes.Clone(b)
	for i := range lie {
		lie[i] ^= 1
	}
	return l.ResponseWriter.Write(lie)
}

func lies(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return lying{w} }

// refuses answers like a mirror whose containerd is away.
func refuses(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
	w.WriteHeader(http.StatusServiceUnavailable)
	return w
}

// cluster is an image on mirrors, and a client of them.
type cluster struct {
	image   v1.Image
	layer   []byte
	nodes   []*node
	mirrors []*unreliable
	servers []*httptest.Server
	disk    *node
	client  *mirror.Client
}

// newCluster starts a mirror for each way to spoil what it sends.
func newCluster(t *testing.T, spoil ...func(http.ResponseWriter, *http.Request) http.ResponseWriter) *cluster {
	t.Helper()
	noise := make([]byte, 300<<10)
	_, err := rand.Read(noise)
	check(t, err)
	c := &cluster{image: imageOf(t, "amd64", layerOf(t, "low", "low"), layerOf(t, "kubelet", string(noise))), disk: newNode()}
	for _, how := range spoil {
		n := newNode()
		n.has(t, tagged+"@"+digestOf(t, c.image), c.image, true)
		one := &unreliable{Handler: n.mirror(), spoil: how}
		c.nodes, c.mirrors, c.servers = append(c.nodes, n), append(c.mirrors, one), append(c.servers, serve(t, one))
	}
	content := blobs{}
	content.add(t, c.image)
	c.layer = content[c.layerDigest(t)]
	var urls []string
	for _, server := range c.servers {
		urls = append(urls, server.URL)
	}
	c.client, err = mirror.NewClient(mirror.ClientOptions{
		Mirrors: urls, Authorities: authorities(c.servers...), Dir: dir, Architecture: "amd64",
		Disk: struct {
			host.Files
			host.Observer
		}{c.disk.door.Files, c.disk.door.Observer},
	})
	check(t, err)
	return c
}

// layerDigest is that of the large layer.
func (c *cluster) layerDigest(t *testing.T) string {
	t.Helper()
	layers, err := c.image.Layers()
	check(t, err)
	return digestOf(t, layers[1])
}

func (c *cluster) pinned(t *testing.T) string { return tagged + "@" + digestOf(t, c.image) }

// pull takes the large layer.
func (c *cluster) pull(t *testing.T) ([]byte, error) {
	t.Helper()
	blobs, err := c.client.Blobs(tagged)
	check(t, err)
	content, err := blobs.Blob(t.Context(), c.layerDigest(t))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(content)
	check(t, content.Close())
	return data, err
}

func (c *cluster) extract(t *testing.T, paths ...string) (map[string]int, error) {
	t.Helper()
	got := map[string]int{}
	err := c.client.Extract(t.Context(), c.pinned(t), paths, func(path string, content io.Reader) error {
		n, err := io.Copy(io.Discard, content)
		got[path] = int(n)
		return err
	})
	return got, err
}

// left are the layers that lie on the disk.
func (c *cluster) left(t *testing.T) []string {
	t.Helper()
	names, err := c.disk.door.Files.List(t.Context(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestImportFromMirror(t *testing.T) {
	c := newCluster(t, nil)
	ctx := t.Context()
	digest, err := c.client.Digest(ctx, tagged)
	if err != nil || digest != digestOf(t, c.image) {
		t.Fatalf("the tag is %s, %v", digest, err)
	}
	content, err := c.client.Blobs(c.pinned(t))
	check(t, err)
	joining := newNode()
	check(t, joining.door.Images.Import(ctx, host.Image{Name: c.pinned(t), Digest: digest, Pinned: true}, content))
	// It has all of it, and could be a mirror now.
	server := serve(t, joining.mirror())
	second, err := mirror.NewClient(mirror.ClientOptions{Mirrors: []string{server.URL}, Authorities: authorities(server)})
	check(t, err)
	content, err = second.Blobs(tagged)
	check(t, err)
	blob, err := content.Blob(ctx, c.layerDigest(t))
	check(t, err)
	got, err := io.ReadAll(blob)
	if err = errors.Join(err, blob.Close()); err != nil || !bytes.Equal(got, c.layer) {
		t.Errorf("the second mirror gives %d bytes, %v", len(got), err)
	}
}

func TestDigestWithoutMirror(t *testing.T) {
	c := newCluster(t, nil)
	c.servers[0].Close()
	if got, err := c.client.Digest(t.Context(), c.pinned(t)); err != nil || got != digestOf(t, c.image) {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := c.client.Digest(t.Context(), tagged); err == nil {
		t.Errorf("a tag is %s without anybody to ask", got)
	}
}

func TestMissing(t *testing.T) {
	c := newCluster(t, nil, nil)
	const other = "docker.io/library/other:v1"
	if _, err := c.client.Digest(t.Context(), other); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), other) {
		t.Errorf("digest: %v", err)
	}
	if err := c.client.Extract(t.Context(), other, []string{"/a"}, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), other) {
		t.Errorf("extract: %v", err)
	}
	if _, err := c.extract(t, "/kubelet", "/nope"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/nope") {
		t.Errorf("extract a missing file: %v", err)
	}
	content, err := c.client.Blobs(tagged)
	check(t, err)
	unknown := "sha256:" + strings.Repeat("0", 64)
	if _, err := content.Blob(t.Context(), unknown); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), c.servers[1].URL) {
		t.Errorf("blob: %v", err)
	}
	// One that does not answer may have it: it is not known to be missing.
	c.servers[0].Close()
	if _, err := content.Blob(t.Context(), unknown); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("blob, with a mirror down: %v", err)
	}
	if _, err := content.Blob(t.Context(), "sha256:../../etc/passwd"); err == nil {
		t.Error("a digest that is none was asked for")
	}
}

// A file of an image for another architecture is not even downloaded.
func TestForeignArchitecture(t *testing.T) {
	c := newCluster(t, nil)
	foreign := imageOf(t, "arm64", layerOf(t, "kubelet", "kubelet"))
	name := "registry.test/foreign:v1@" + digestOf(t, foreign)
	c.nodes[0].has(t, name, foreign, true)
	for what, err := range map[string]error{
		"check": c.client.Check(t.Context(), name),
		"extract": c.client.Extract(t.Context(), name, []string{"/kubelet"}, func(string, io.Reader) error {
			t.Error("a foreign file is handed over")
			return nil
		}),
	} {
		if found := fault.Of(err); len(found) == 0 || found[0].Code != fault.OtherArchitecture || !strings.Contains(err.Error(), "linux/arm64") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.client.Check(t.Context(), c.pinned(t)); err != nil || len(c.left(t)) > 0 {
		t.Errorf("one for this machine: %v; %v is left", err, c.left(t))
	}
}

func TestMirrorDies(t *testing.T) {
	t.Run("in the middle of a layer", func(t *testing.T) {
		c := newCluster(t, dies(100<<10), nil)
		got, err := c.pull(t)
		if err != nil || !bytes.Equal(got, c.layer) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		if all := c.mirrors[0].sent.Load() + c.mirrors[1].sent.Load(); c.mirrors[1].sent.Load() >= int64(len(c.layer)) || all < int64(len(c.layer)) {
			t.Errorf("the mirrors sent %d and %d bytes of %d: nothing is to be sent twice", c.mirrors[0].sent.Load(), c.mirrors[1].sent.Load(), len(c.layer))
		}
		if _, err := c.pull(t); err != nil || c.mirrors[0].asked.Load() != 1 {
			t.Errorf("the dead mirror was asked %d times, %v", c.mirrors[0].asked.Load(), err)
		}
	})
	t.Run("again and again", func(t *testing.T) {
		c := newCluster(t, dies(100<<10))
		got, err := c.pull(t)
		if err != nil || !bytes.Equal(got, c.layer) || c.mirrors[0].asked.Load() < 3 {
			t.Errorf("got %d bytes in %d pieces, %v", len(got), c.mirrors[0].asked.Load(), err)
		}
	})
	t.Run("all of them", func(t *testing.T) {
		c := newCluster(t, nil, refuses, refuses)
		c.mirrors[0].spoil = func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
			if c.mirrors[0].asked.Load() == 1 {
				return &dying{w, 100 << 10}
			}
			return refuses(w, r)
		}
		_, err := c.pull(t)
		if err == nil || !strings.Contains(err.Error(), "go on at byte ") || errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("the error is %v", err)
		}
		for _, server := range c.servers {
			if !strings.Contains(err.Error(), server.URL) {
				t.Errorf("the error %q does not tell about %s", err, server.URL)
			}
		}
	})
	t.Run("before the first byte, for ever", func(t *testing.T) {
		c := newCluster(t, dies(0), dies(0))
		if _, err := c.pull(t); err == nil || !strings.Contains(err.Error(), "go on at byte 0") {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestNextMirrorIsAsked(t *testing.T) {
	tests := map[string]func(t *testing.T, c *cluster){
		"the first is down":            func(_ *testing.T, c *cluster) { c.servers[0].Close() },
		"the first has no containerd":  func(_ *testing.T, c *cluster) { c.mirrors[0].spoil = refuses },
		"the first lacks the image":    func(t *testing.T, c *cluster) { check(t, c.nodes[0].door.Images.Release(t.Context(), nil)) },
		"the first lies":               func(_ *testing.T, c *cluster) { c.mirrors[0].spoil = lies },
		"the first dies at once":       func(_ *testing.T, c *cluster) { c.mirrors[0].spoil = dies(0) },
		"the first has another length": func(_ *testing.T, c *cluster) { c.mirrors[0].spoil = shortens },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, nil, nil)
			spoil(t, c)
			got, err := c.extract(t, "/kubelet", "/low")
			if want := map[string]int{"/kubelet": 300 << 10, "/low": 3}; err != nil || !maps.Equal(got, want) {
				t.Errorf("got %v, %v", got, err)
			}
			if left := c.left(t); len(left) != 2 {
				t.Errorf("of two layers %v are left", left)
			}
		})
	}
}

// shortening sends less than there is, as if it were all.
type shortening struct{ http.ResponseWriter }

func (s shortening) WriteHeader(status int) {
	s.Header().Set("Content-Length", "1")
	s.ResponseWriter.WriteHeader(status)
}

func (s shortening) Write(b []byte) (int, error) {
	_, _ = s.ResponseWriter.Write(b[:1])
	return len(b), nil
}

func shortens(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return shortening{w} }

func TestDamagedBlob(t *testing.T) {
	c := newCluster(t, lies, nil)
	if _, err := c.pull(t); err == nil || !strings.Contains(err.Error(), c.servers[0].URL+": the content does not match its digest") {
		t.Errorf("the error is %v", err)
	}
	// Tried again, it comes from the other mirror.
	if got, err := c.pull(t); err != nil || !bytes.Equal(got, c.layer) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}

	c = newCluster(t, lies, lies)
	if got, err := c.extract(t, "/kubelet"); err == nil || len(got) > 0 || !strings.Contains(err.Error(), "does not match its digest") {
		t.Errorf("extracted %v, %v", got, err)
	}
	if left := c.left(t); len(left) > 0 {
		t.Errorf("damaged content was kept: %v", left)
	}
}

func TestForeignMirror(t *testing.T) {
	c, other := newCluster(t, nil), newCluster(t, nil)
	// Go's test servers all have the same certificate, so the client trusts nobody.
	client, err := mirror.NewClient(mirror.ClientOptions{Mirrors: []string{c.servers[0].URL, other.servers[0].URL}, Authorities: authorities()})
	check(t, err)
	if _, err := client.Digest(t.Context(), tagged); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the error is %v", err)
	}
	if c.mirrors[0].asked.Load() > 0 {
		t.Error("a mirror of another authority was asked")
	}
}

func TestExtractGoesOn(t *testing.T) {
	c := newCluster(t, nil)
	full := errors.New("disk full")
	err := c.client.Extract(t.Context(), c.pinned(t), []string{"/kubelet"}, func(string, io.Reader) error { return full })
	if !errors.Is(err, full) || len(c.left(t)) != 1 {
		t.Fatalf("the error is %v, and %v is left", err, c.left(t))
	}
	size := int64(len(c.layer))
	before := c.mirrors[0].sent.Load()
	if _, err := c.extract(t, "/kubelet"); err != nil || c.mirrors[0].sent.Load()-before >= size {
		t.Errorf("the layer was taken once more, %v", err)
	}

	// An image that has the layer, too, takes it from the disk.
	before = c.mirrors[0].sent.Load()
	content, err := c.client.Blobs(tagged)
	check(t, err)
	blob, err := content.Blob(t.Context(), c.layerDigest(t))
	check(t, err)
	got, err := io.ReadAll(blob)
	check(t, errors.Join(err, blob.Close()))
	if !bytes.Equal(got, c.layer) || c.mirrors[0].sent.Load() != before {
		t.Errorf("the layer of %d bytes came with %d, of which %d were sent", size, len(got), c.mirrors[0].sent.Load()-before)
	}

	// What a broken disk left is taken again.
	damaged := dir + "/" + strings.Replace(c.layerDigest(t), ":", "-", 1)
	check(t, c.disk.door.Files.Write(t.Context(), damaged, strings.NewReader("x"), 0o600))
	if got, err := c.extract(t, "/kubelet"); err != nil || got["/kubelet"] != 300<<10 || c.mirrors[0].sent.Load()-before < size || c.mirrors[0].sent.Load()-before >= 2*size {
		t.Errorf("got %v, %d bytes were sent, %v", got, c.mirrors[0].sent.Load()-before, err)
	}
}

func TestPullStops(t *testing.T) {
	c := newCluster(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	content, err := c.client.Blobs(tagged)
	check(t, err)
	blob, err := content.Blob(ctx, c.layerDigest(t))
	check(t, err)
	stopped := errors.New("stopped by the user")
	cancel(stopped)
	if _, err := io.Copy(io.Discard, blob); !errors.Is(err, stopped) {
		t.Errorf("the error is %v", err)
	}
	check(t, blob.Close())
	if _, err := content.Blob(ctx, c.layerDigest(t)); !errors.Is(err, stopped) {
		t.Errorf("the error is %v", err)
	}
}

func TestManyPulls(t *testing.T) {
	c := newCluster(t, dies(200<<10), nil, nil)
	content, err := c.client.Blobs(tagged)
	check(t, err)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			blob, err := content.Blob(t.Context(), c.layerDigest(t))
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(blob)
			if err = errors.Join(err, blob.Close()); err != nil || !bytes.Equal(got, c.layer) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	running.Wait()
}

func TestClientOptionsAreChecked(t *testing.T) {
	for _, mirrors := range [][]string{nil, {"http://192.0.2.1:5000"}, {"192.0.2.1:5000"}, {"https://"}, {"https://192.0.2.1/v2"}, {"https://user:pw@192.0.2.1"}, {"https://192.0.2.1?x=y"}} {
		if _, err := mirror.NewClient(mirror.ClientOptions{Mirrors: mirrors}); err == nil {
			t.Errorf("%q is accepted", mirrors)
		}
	}
	if _, err := mirror.NewClient(mirror.ClientOptions{Mirrors: []string{"https://[2001:db8::1]:5000"}}); err != nil {
		t.Error(err)
	}
}
