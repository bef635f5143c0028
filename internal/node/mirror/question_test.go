package mirror

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

func TestHas(t *testing.T) {
	asked := question{repository: "localhost:5000/team/app"}
	for name, version := range map[string]string{
		"localhost:5000/team/app:v1": ":v1", "localhost:5000/team/app@sha256:12": "@sha256:12",
		"localhost:5000/team/app": "", "localhost:5000/team/apple:v1": "", "localhost:5000/team/app/sub:v1": "", "localhost:5000/team": "",
	} {
		if got, ok := asked.has(name); ok != (version != "") || ok && got != version {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
	if _, ok := (question{repository: "localhost"}).has("localhost:5000/app"); ok {
		t.Error("a port was taken for a tag")
	}
}

// Whatever is asked for is refused, or is a canonical name that leads nowhere else.
func FuzzParse(f *testing.F) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, path := range []string{
		"/v2/app/manifests/v1", "/v2/a/b/c/blobs/sha256:" + hex, "/v2/app/manifests/sha256:" + hex, "/v2/manifests/blobs/sha256:" + hex,
		"/v2//manifests/v1", "/v2/../etc/manifests/passwd", "/v2/app/manifests/", "/v2/app:1/manifests/v1", "/v2/a%2fb/manifests/v1", "/v2/_catalog",
	} {
		f.Add(path, DefaultRegistry)
	}
	f.Add("/v2/app/manifests/v1", "docker.io")
	f.Add("/v2/app/manifests/v1", "[::1]:5000")
	f.Add("/v2/app/manifests/v1", "..")
	f.Fuzz(func(t *testing.T, path, registry string) {
		asked, err := parse(path, registry)
		if err != nil {
			return
		}
		version := ":" + asked.tag
		if asked.digest != "" {
			version = "@" + asked.digest
			if err := digest.Digest(asked.digest).Validate(); err != nil {
				t.Errorf("digest %q: %v", asked.digest, err)
			}
		}
		named, err := reference.ParseNamed(asked.repository + version)
		if err != nil || named.String() != asked.repository+version {
			t.Errorf("%q of %q is %q: %v", path, registry, asked.repository+version, err)
		}
		if (asked.tag == "") == (asked.digest == "") || asked.tag != "" && !asked.manifest {
			t.Errorf("%q is %+v", path, asked)
		}
		kind := "/blobs/"
		if asked.manifest {
			kind = "/manifests/"
		}
		if back := "/v2/" + strings.TrimPrefix(asked.repository, registry+"/") + kind + version[1:]; back != path {
			t.Errorf("%q leads to %q", path, back)
		}
	})
}
