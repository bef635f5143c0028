package source

import (
	"errors"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
)

func TestLocate(t *testing.T) {
	sources := parse(t, `images:
- {name: kube-apiserver, repository: registry.k8s.io/kube-apiserver}
- {name: coredns, repository: registry.k8s.io/coredns/coredns, tag: v1.15.0}
- {name: pause, repository: registry.k8s.io/pause, tag: "3.10"}
`)
	for name, c := range map[string]struct {
		overwrite, prefix string
		want              string // of the three images in order
	}{
		"as the image vector says":                  {"", "", "registry.k8s.io/kube-apiserver:v1.36.3 registry.k8s.io/coredns/coredns:v1.15.0 registry.k8s.io/pause:3.10"},
		"overwritten":                               {"{name: pause, repository: my.test/pause}", "", "registry.k8s.io/kube-apiserver:v1.36.3 registry.k8s.io/coredns/coredns:v1.15.0 my.test/pause:3.10"},
		"from one registry":                         {"", "my.test:5000/a/b", "my.test:5000/a/b/kube-apiserver:v1.36.3 my.test:5000/a/b/coredns:v1.15.0 my.test:5000/a/b/pause:3.10"},
		"from one registry but what is overwritten": {"{name: coredns, repository: other.test/dns, tag: v2}", "my.test", "my.test/kube-apiserver:v1.36.3 other.test/dns:v2 my.test/pause:3.10"},
		"overwritten for another architecture":      {"{name: coredns, repository: other.test/dns, architectures: [arm64]}", "my.test", "my.test/kube-apiserver:v1.36.3 my.test/coredns:v1.15.0 my.test/pause:3.10"},
	} {
		wish := Wish{Names: []string{"kube-apiserver", "coredns", "pause"}, Kubernetes: "1.36.3", Platform: amd64(), Sources: sources, Prefix: c.prefix}
		wish.Overwrite = parse(t, "images: ["+c.overwrite+"]")
		got, err := wish.Locate()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var list []string
		for _, name := range wish.Names {
			list = append(list, got[name].String())
		}
		if strings.Join(list, " ") != c.want {
			t.Errorf("%s: got %v", name, list)
		}
	}
	wish := Wish{Names: []string{"etcd"}, Kubernetes: "1.36.3", Platform: amd64(), Sources: sources}
	if _, err := wish.Locate(); err == nil || !strings.Contains(err.Error(), "find image etcd") {
		t.Errorf("an unknown image: %v", err)
	}
}

func TestParseRegistry(t *testing.T) {
	for text, want := range map[string]struct{ prefix, plain string }{
		"registry.test":                  {"registry.test", ""},
		"registry.test/mirror/":          {"registry.test/mirror", ""},
		"https://registry.test:5000/a/b": {"registry.test:5000/a/b", ""},
		"http://registry.test:5000/a":    {"registry.test:5000/a", "registry.test:5000"},
		"localhost/a":                    {"localhost/a", ""},
		"localhost:5000":                 {"localhost:5000", ""},
		"127.0.0.1:5000/a":               {"127.0.0.1:5000/a", ""},
		"[::1]:5000":                     {"[::1]:5000", ""},
	} {
		prefix, plain, err := ParseRegistry(text)
		if err != nil || prefix != want.prefix || plain != want.plain {
			t.Errorf("%s: got %q, %q, %v", text, prefix, plain, err)
		}
	}
	for _, text := range []string{"", "mirror", "./bundle", "/tmp/bundle", "bundle/dir", "registry.test/UPPER", "ftp://registry.test", "../bundle.tar"} {
		if prefix, _, err := ParseRegistry(text); err == nil {
			t.Errorf("%q is %q", text, prefix)
		}
	}
	for _, text := range []string{"https://me:hidden@registry.test/mirror", "http://hidden@registry.test:5000", "me:hid@hidden@registry.test"} {
		_, _, err := ParseRegistry(text)
		var refused *fault.Error
		if !errors.As(err, &refused) || strings.Contains(err.Error()+refused.Fix, "hid") || !strings.Contains(refused.Fix, "docker login registry.test") {
			t.Errorf("%s: %v, advice %q", text, err, refused.Fix)
		}
	}
}

func parse(t *testing.T, text string) image.Sources {
	t.Helper()
	out, err := image.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
