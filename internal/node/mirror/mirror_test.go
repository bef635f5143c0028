package mirror_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
)

// A foreign client pulls whole images by tag and by digest, and checks all that it gets.
func TestPullWithForeignClient(t *testing.T) {
	n := newNode()
	image, err := random.Image(3<<20, 3)
	check(t, err)
	n.has(t, "bundle.gardenadm.dev/team/app:v1@"+digestOf(t, image), image, true)
	server := serve(t, n.mirror())
	transport := remote.WithTransport(server.Client().Transport)

	for _, version := range []string{":v1", "@" + digestOf(t, image)} {
		ref, err := name.ParseReference(server.Listener.Addr().String() + "/team/app" + version)
		check(t, err)
		head, err := remote.Head(ref, transport)
		check(t, err)
		if head.Digest.String() != digestOf(t, image) || head.MediaType != types.DockerManifestSchema2 {
			t.Errorf("%s is said to be %+v", version, head)
		}
		got, err := remote.Image(ref, transport)
		check(t, err)
		if digestOf(t, got) != digestOf(t, image) {
			t.Errorf("%s is %s", version, digestOf(t, got))
		}
		check(t, validate.Image(got))
	}
	repository, err := name.NewRepository(server.Listener.Addr().String() + "/team/app")
	check(t, err)
	if err := remote.Write(repository.Tag("v2"), image, transport); err == nil {
		t.Error("an image can be pushed")
	}
	if tags, err := remote.List(repository, transport); err == nil {
		t.Errorf("tags are listed: %v", tags)
	}
	if all, err := remote.Catalog(t.Context(), repository.Registry, transport); err == nil {
		t.Errorf("repositories are listed: %v", all)
	}
}

// Of an index, this node has its own platform's image only.
func TestPullIndex(t *testing.T) {
	n := newNode()
	here, there := imageOf(t, "amd64", layerOf(t, "a", "here")), imageOf(t, "arm64", layerOf(t, "a", "there"))
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for architecture, image := range map[string]v1.Image{"amd64": here, "arm64": there} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}}})
	}
	content := blobs{}
	content.add(t, here)
	raw, err := index.RawManifest()
	check(t, err)
	content[digestOf(t, index)] = raw
	check(t, n.door.Images.Import(t.Context(), host.Image{Name: "bundle.gardenadm.dev/app:v1", Digest: digestOf(t, index), Pinned: true}, content))
	server := serve(t, n.mirror())
	ref, err := name.ParseReference(server.Listener.Addr().String() + "/app:v1")
	check(t, err)

	platform := func(architecture string) []remote.Option {
		return []remote.Option{remote.WithTransport(server.Client().Transport), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: architecture})}
	}
	got, err := remote.Image(ref, platform("amd64")...)
	check(t, err)
	check(t, validate.Image(got))
	if digestOf(t, got) != digestOf(t, here) {
		t.Errorf("got %s", digestOf(t, got))
	}
	if _, err := remote.Image(ref, platform("arm64")...); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("the error for another platform is %v", err)
	}
}

// answers is a node with images of several kinds, and what it answers.
type answers struct {
	*node
	app, foreign, private v1.Image
}

func newAnswers(t *testing.T) answers {
	t.Helper()
	a := answers{node: newNode(), app: imageOf(t, "amd64", layerOf(t, "a", "of the bundle")),
		foreign: imageOf(t, "amd64", layerOf(t, "a", "of docker.io")), private: imageOf(t, "amd64", layerOf(t, "a", "private"))}
	a.has(t, "bundle.gardenadm.dev/app:v1", a.app, true)
	a.has(t, "docker.io/library/app:v1", a.foreign, true)
	a.has(t, "registry.example:5000/private:v1", a.private, false)
	a.has(t, "bundle.gardenadm.dev/app:old", a.private, false)
	return a
}

func (a answers) ask(method, target string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, nil)
	request.RemoteAddr = "127.0.0.1:40000"
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	out := httptest.NewRecorder()
	a.mirror().ServeHTTP(out, request)
	return out
}

func layerDigest(t *testing.T, image v1.Image) string {
	t.Helper()
	layers, err := image.Layers()
	check(t, err)
	return digestOf(t, layers[0])
}

func configDigest(t *testing.T, image v1.Image) string {
	t.Helper()
	out, err := image.ConfigName()
	check(t, err)
	return out.String()
}

func TestWhatIsServed(t *testing.T) {
	a := newAnswers(t)
	const manifestType, blobType = string(types.OCIManifestSchema1), "application/octet-stream"
	tests := map[string]struct{ path, digest, mediaType string }{
		"tag":                     {"/v2/app/manifests/v1", digestOf(t, a.app), manifestType},
		"digest":                  {"/v2/app/manifests/" + digestOf(t, a.app), digestOf(t, a.app), manifestType},
		"layer":                   {"/v2/app/blobs/" + layerDigest(t, a.app), layerDigest(t, a.app), blobType},
		"config":                  {"/v2/app/blobs/" + configDigest(t, a.app), configDigest(t, a.app), blobType},
		"manifest as a blob":      {"/v2/app/blobs/" + digestOf(t, a.app), digestOf(t, a.app), blobType},
		"registry by name":        {"/v2/app/manifests/v1?ns=bundle.gardenadm.dev", digestOf(t, a.app), manifestType},
		"another registry":        {"/v2/library/app/manifests/v1?ns=docker.io", digestOf(t, a.foreign), manifestType},
		"layer, another registry": {"/v2/library/app/blobs/" + layerDigest(t, a.foreign) + "?ns=docker.io", layerDigest(t, a.foreign), blobType},
		"escaped digest":          {"/v2/app/manifests/" + strings.ReplaceAll(digestOf(t, a.app), ":", "%3A"), digestOf(t, a.app), manifestType},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, head := a.ask(http.MethodGet, test.path), a.ask(http.MethodHead, test.path)
			if got.Code != http.StatusOK || head.Code != http.StatusOK {
				t.Fatalf("GET answers %d (%s), HEAD %d", got.Code, got.Body, head.Code)
			}
			if sum := "sha256:" + sha256Of(got.Body.Bytes()); sum != test.digest {
				t.Errorf("the content has digest %s, want %s", sum, test.digest)
			}
			if head.Body.Len() > 0 {
				t.Error("HEAD has a body")
			}
			for _, answer := range []*httptest.ResponseRecorder{got, head} {
				h := answer.Header()
				if h.Get("Content-Type") != test.mediaType || h.Get("Docker-Content-Digest") != test.digest || h.Get("ETag") != `"`+test.digest+`"` ||
					h.Get("Content-Length") == "" || h.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
					t.Errorf("the headers are %v", h)
				}
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	a := newAnswers(t)
	unknown := "sha256:" + strings.Repeat("0", 64)
	tests := map[string]struct {
		method, path string
		status       int
		code         string
	}{
		"root":                         {"GET", "/", 404, "UNSUPPORTED"},
		"catalog":                      {"GET", "/v2/_catalog", 404, "UNSUPPORTED"},
		"tags":                         {"GET", "/v2/app/tags/list", 404, "UNSUPPORTED"},
		"referrers":                    {"GET", "/v2/app/referrers/" + unknown, 404, "UNSUPPORTED"},
		"other tag":                    {"GET", "/v2/app/manifests/v2", 404, "MANIFEST_UNKNOWN"},
		"other digest":                 {"GET", "/v2/app/manifests/" + unknown, 404, "MANIFEST_UNKNOWN"},
		"other blob":                   {"GET", "/v2/app/blobs/" + unknown, 404, "BLOB_UNKNOWN"},
		"other repository":             {"GET", "/v2/nothing/manifests/v1", 404, "NAME_UNKNOWN"},
		"beginning of a repository":    {"GET", "/v2/ap/manifests/v1", 404, "NAME_UNKNOWN"},
		"other registry":               {"GET", "/v2/app/manifests/v1?ns=registry.example", 404, "NAME_UNKNOWN"},
		"blob of another repository":   {"GET", "/v2/app/blobs/" + layerDigest(t, a.foreign), 404, "BLOB_UNKNOWN"},
		"image that is not pinned":     {"GET", "/v2/private/manifests/v1?ns=registry.example:5000", 404, "NAME_UNKNOWN"},
		"blob that is not pinned":      {"GET", "/v2/app/blobs/" + layerDigest(t, a.private), 404, "BLOB_UNKNOWN"},
		"layer as a manifest":          {"GET", "/v2/app/manifests/" + layerDigest(t, a.app), 404, "MANIFEST_UNKNOWN"},
		"name that is none":            {"GET", "/v2/App/manifests/v1", 400, "NAME_INVALID"},
		"short name of docker.io":      {"GET", "/v2/app/manifests/v1?ns=docker.io", 400, "NAME_INVALID"},
		"registry that is none":        {"GET", "/v2/app/manifests/v1?ns=a/b", 400, "NAME_INVALID"},
		"registry with a path":         {"GET", "/v2/app/manifests/v1?ns=registry.example/team", 400, "NAME_INVALID"},
		"way up":                       {"GET", "/v2/../../etc/blobs/" + unknown, 400, "NAME_INVALID"},
		"escaped way up":               {"GET", "/v2/app%2F..%2F..%2Fetc/manifests/passwd", 400, "NAME_INVALID"},
		"digest that is none":          {"GET", "/v2/app/blobs/sha256:..%2F..%2Fetc", 404, "UNSUPPORTED"},
		"digest of unknown kind":       {"GET", "/v2/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"},
		"tag of a blob":                {"GET", "/v2/app/blobs/v1", 400, "DIGEST_INVALID"},
		"HEAD of what is not there":    {"HEAD", "/v2/app/manifests/v2", 404, ""},
		"upload":                       {"POST", "/v2/app/blobs/uploads/", 405, "UNSUPPORTED"},
		"manifest upload":              {"PUT", "/v2/app/manifests/v1", 405, "UNSUPPORTED"},
		"removal":                      {"DELETE", "/v2/app/manifests/" + digestOf(t, a.app), 405, "UNSUPPORTED"},
		"removal of what is not there": {"DELETE", "/etc/passwd", 405, "UNSUPPORTED"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := a.ask(test.method, test.path)
			if answer.Code != test.status {
				t.Errorf("it answers %d, want %d", answer.Code, test.status)
			}
			if test.status == http.StatusMethodNotAllowed && answer.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", answer.Header().Get("Allow"))
			}
			if test.code == "" {
				return
			}
			var body struct {
				Errors []struct{ Code, Message string }
			}
			check(t, json.Unmarshal(answer.Body.Bytes(), &body))
			if len(body.Errors) != 1 || body.Errors[0].Code != test.code || body.Errors[0].Message == "" || answer.Header().Get("Content-Type") != "application/json" {
				t.Errorf("it answers %s, want code %s", answer.Body, test.code)
			}
		})
	}
	for _, path := range []string{"/v2", "/v2/"} {
		if answer := a.ask(http.MethodGet, path); answer.Code != http.StatusOK || answer.Body.String() != "{}" {
			t.Errorf("%s answers %d %s", path, answer.Code, answer.Body)
		}
	}
}

func TestRanges(t *testing.T) {
	a := newAnswers(t)
	path := "/v2/app/blobs/" + layerDigest(t, a.app)
	whole := a.ask(http.MethodGet, path).Body.Bytes()
	size := len(whole)
	tests := map[string]struct {
		header []string
		status int
		body   []byte
	}{
		"from the middle": {[]string{"Range", "bytes=40-"}, 206, whole[40:]},
		"a part":          {[]string{"Range", "bytes=32-59"}, 206, whole[32:60]},
		"the end":         {[]string{"Range", "bytes=-10"}, 206, whole[size-10:]},
		"behind the end":  {[]string{"Range", "bytes=9999999-"}, 416, nil},
		"known already":   {[]string{"If-None-Match", `"` + layerDigest(t, a.app) + `"`}, 304, []byte{}},
		"of another blob": {[]string{"Range", "bytes=40-", "If-Range", `"sha256:other"`}, 200, whole},
		"of this blob":    {[]string{"Range", "bytes=40-", "If-Range", `"` + layerDigest(t, a.app) + `"`}, 206, whole[40:]},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := a.ask(http.MethodGet, path, test.header...)
			if answer.Code != test.status || test.body != nil && !bytes.Equal(answer.Body.Bytes(), test.body) {
				t.Errorf("it answers %d with %d bytes", answer.Code, answer.Body.Len())
			}
		})
	}
	several := a.ask(http.MethodGet, path, "Range", "bytes=60-69,10-19")
	if several.Code != http.StatusPartialContent || !bytes.Contains(several.Body.Bytes(), whole[60:70]) || !bytes.Contains(several.Body.Bytes(), whole[10:20]) {
		t.Errorf("two ranges are answered by %d %q", several.Code, several.Body)
	}
}

func TestWhoMayRead(t *testing.T) {
	n := newNode()
	n.has(t, "bundle.gardenadm.dev/app:v1", imageOf(t, "amd64"), true)
	options := n.options()
	options.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fd00::/8")}
	m := mirror.New(options)
	for address, status := range map[string]int{
		"192.0.2.7:1": 200, "[::ffff:192.0.2.7]:1": 200, "[fd00::1%eth0]:1": 200,
		"198.51.100.1:1": 403, "127.0.0.1:1": 403, "[2001:db8::1]:1": 403, "@": 403, "": 403,
	} {
		for _, path := range []string{"/v2/", "/v2/app/manifests/v1"} {
			request, answer := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
			request.RemoteAddr = address
			m.ServeHTTP(answer, request)
			if answer.Code != status {
				t.Errorf("%s: %s answers %d, want %d", address, path, answer.Code, status)
			}
		}
	}
}

// What is wrong with containerd or with one image is told in the log, not to readers.
func TestWithoutContainerd(t *testing.T) {
	n := newNode()
	app := imageOf(t, "amd64", layerOf(t, "a", "1"))
	n.has(t, "bundle.gardenadm.dev/app:v1", app, true)
	var out bytes.Buffer
	options := n.options()
	options.Log = slog.New(slog.NewTextHandler(&out, nil))
	m := mirror.New(options)
	ask := func(path string) *httptest.ResponseRecorder {
		request, answer := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		request.RemoteAddr = "127.0.0.1:1"
		m.ServeHTTP(answer, request)
		return answer
	}
	for _, operation := range []string{"images", "open blob"} {
		n.FailOn(operation, errors.New("the socket is gone"))
		answer := ask("/v2/app/manifests/v1")
		n.FailOn(operation, nil)
		if answer.Code != http.StatusServiceUnavailable || strings.Contains(answer.Body.String(), "socket") {
			t.Errorf("%s: it answers %d %s", operation, answer.Code, answer.Body)
		}
		if !strings.Contains(out.String(), "the socket is gone") {
			t.Errorf("%s: the log is %q", operation, out.String())
		}
		out.Reset()
	}
	// An image that cannot be read does not hide another one of the same repository.
	n.has(t, "bundle.gardenadm.dev/app:v0", imageOf(t, "amd64"), true)
	n.FailOn("open blob "+digestOf(t, imageOf(t, "amd64")), errors.New("damaged"))
	if answer := ask("/v2/app/blobs/" + layerDigest(t, app)); answer.Code != http.StatusOK {
		t.Errorf("it answers %d %s", answer.Code, answer.Body)
	}
}

// An image is served from the moment it is recorded until it is released.
func TestImagesComeAndGo(t *testing.T) {
	n := newNode()
	server := serve(t, n.mirror())
	status := func() int {
		t.Helper()
		response, err := server.Client().Get(server.URL + "/v2/app/manifests/v1")
		check(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		check(t, errors.Join(err, response.Body.Close()))
		return response.StatusCode
	}
	if got := status(); got != http.StatusNotFound {
		t.Errorf("before: %d", got)
	}
	n.has(t, "bundle.gardenadm.dev/app:v1", imageOf(t, "amd64"), true)
	if got := status(); got != http.StatusOK {
		t.Errorf("recorded: %d", got)
	}
	check(t, n.door.Images.Release(t.Context(), nil))
	if got := status(); got != http.StatusNotFound {
		t.Errorf("released: %d", got)
	}
}
