package image

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func builtinSources(t testing.TB) Sources {
	t.Helper()
	out, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBuiltinTagsAreThoseThatUpstreamPins(t *testing.T) {
	for name, pin := range map[string]struct{ dir, module string }{
		Etcd:          {"etcd", "go.etcd.io/etcd/server/v3"},
		CoreDNS:       {"coredns", "github.com/coredns/coredns"},
		Flannel:       {"flannel", "github.com/flannel-io/flannel"},
		MetricsServer: {"metrics-server", "sigs.k8s.io/metrics-server"},
		Containerd:    {"containerd", "github.com/containerd/containerd/v2"},
		Runc:          {"runc", "github.com/opencontainers/runc"},
		CNIPlugins:    {"cni", "github.com/containernetworking/plugins"},
	} {
		raw, err := os.ReadFile("../../../upstream/" + pin.dir + "/go.mod")
		if err != nil {
			t.Fatal(err)
		}
		version := regexp.MustCompile(`(?m)\s` + regexp.QuoteMeta(pin.module) + ` (v\S+)`).FindSubmatch(raw)
		if version == nil {
			t.Fatalf("upstream/%s pins no %s", pin.dir, pin.module)
		}
		got, err := builtinSources(t).Find(name, "1.36.3", "amd64")
		if err != nil || got.Tag != string(version[1]) {
			t.Errorf("%s has tag %s, upstream/%s builds %s (%v)", name, got.Tag, pin.dir, version[1], err)
		}
	}
}

func TestFindTakesWhatFitsMostClosely(t *testing.T) {
	sources, err := Parse([]byte(`images:
- {name: any, repository: registry.test/any}
- {name: digest, repository: registry.test/digest, tag: "sha256:` + strings.Repeat("a", 64) + `", version: v2}
- {name: both, repository: registry.test/both, tag: "v1@sha256:` + strings.Repeat("b", 64) + `"}
- {name: ref, ref: "registry.test:5000/a/ref:v3"}
- {name: short, repository: busybox, tag: "1"}
- {name: version, repository: registry.test/old, targetVersion: "< 1.36"}
- {name: version, repository: registry.test/new, targetVersion: ">= 1.36"}
- {name: version, repository: registry.test/exact, runtimeVersion: "1.36.3"}
- {name: arch, repository: registry.test/all, tag: v1}
- {name: arch, repository: registry.test/arm, tag: v1, architectures: [arm64]}
- {name: first, repository: registry.test/first, tag: v1}
- {name: first, repository: registry.test/second, tag: v1}
- {name: arm, repository: registry.test/arm, architectures: [arm64]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, kubernetes, arch, want, tagged string }{
		{"any", "1.36.3", "amd64", "registry.test/any:v1.36.3", "registry.test/any:v1.36.3"},
		{"digest", "1.36.3", "amd64", "registry.test/digest@sha256:" + strings.Repeat("a", 64), "registry.test/digest:sha256-" + strings.Repeat("a", 64)},
		{"both", "1.36.3", "amd64", "registry.test/both:v1@sha256:" + strings.Repeat("b", 64), "registry.test/both:v1"},
		{"ref", "1.36.3", "amd64", "registry.test:5000/a/ref:v3", "registry.test:5000/a/ref:v3"},
		{"short", "1.36.3", "amd64", "docker.io/library/busybox:1", "docker.io/library/busybox:1"},
		{"version", "1.35.1", "amd64", "registry.test/old:v1.35.1", ""},
		{"version", "1.36.4", "amd64", "registry.test/new:v1.36.4", ""},
		{"version", "1.36.3", "amd64", "registry.test/exact:v1.36.3", ""},
		{"arch", "1.36.3", "amd64", "registry.test/all:v1", ""},
		{"arch", "1.36.3", "arm64", "registry.test/arm:v1", ""},
		{"first", "1.36.3", "amd64", "registry.test/first:v1", ""},
	} {
		got, err := sources.Find(c.name, c.kubernetes, c.arch)
		if err != nil || got.String() != c.want || c.tagged != "" && got.Tagged() != c.tagged {
			t.Errorf("%s for %s on %s: got %s (%s), want %s: %v", c.name, c.kubernetes, c.arch, got, got.Tagged(), c.want, err)
		}
	}
	for _, name := range []string{"arm", "none"} {
		if got, err := sources.Find(name, "1.36.3", "amd64"); err == nil || !strings.Contains(err.Error(), name+": the image vector has none for Kubernetes 1.36.3 and amd64") {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestBelowKeepsTagAndDigest(t *testing.T) {
	suffix := ":v1@sha256:" + strings.Repeat("b", 64)
	at, err := parse(suffix, "registry.k8s.io/coredns/coredns", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := at.Below("registry.test/mirror/", "coredns")
	if err != nil || got.String() != "registry.test/mirror/coredns"+suffix {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := at.Below("Registry.test/Mirror", "coredns"); err == nil {
		t.Error("a prefix that is no repository was accepted")
	}
}

func TestOverwrite(t *testing.T) {
	base, err := Parse([]byte(`images:
- {name: a, repository: registry.test/a, tag: v1, version: one}
- {name: b, ref: "registry.test/b:v1"}
- {name: c, repository: registry.test/c, targetVersion: ">= 1.36", architectures: [amd64, arm64]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, overwrite, image, want string }{
		{"keeps the tag", "{name: a, repository: my.test/a}", "a", "my.test/a:v1"},
		{"takes the tag", "{name: a, repository: my.test/a, tag: v2}", "a", "my.test/a:v2"},
		{"ref takes the place of repository and tag", `{name: a, ref: "my.test/a:v3"}`, "a", "my.test/a:v3"},
		{"repository takes the place of ref", "{name: b, repository: my.test/b}", "b", "my.test/b:v1.36.3"},
		{"the same key", `{name: c, repository: my.test/c, targetVersion: ">= 1.36", architectures: [amd64, arm64]}`, "c", "my.test/c:v1.36.3"},
		{"another version comes beside and fits less closely", "{name: c, repository: my.test/c}", "c", "registry.test/c:v1.36.3"},
		{"another architecture comes beside and fits more closely", "{name: a, repository: my.test/a, tag: v2, architectures: [amd64]}", "a", "my.test/a:v2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			by, err := Parse([]byte("images: [" + c.overwrite + "]"))
			if err != nil {
				t.Fatal(err)
			}
			merged, err := base.Overwrite(by)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := merged.Find(c.image, "1.36.3", "amd64"); err != nil || got.String() != c.want {
				t.Errorf("got %s, want %s: %v", got, c.want, err)
			}
			if len(base.Images) != 3 || base.Images[0].Repository != "registry.test/a" {
				t.Error("the sources below were changed")
			}
		})
	}
	_, err = base.Overwrite(Sources{Images: []Source{{Name: "d", Repository: "my.test/d"}, {Name: "a", Repository: "my.test/a"}, {Name: "e", Repository: "my.test/e"}}})
	if err == nil || !strings.Contains(err.Error(), "it has no image d, e: there are a, b, c") {
		t.Errorf("unknown names: %v", err)
	}
}

func TestParseTellsAllThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":        {"images: [", "decode image vector"},
		"unknown field":  {"images: [{name: a, repostory: b}]", "repostory"},
		"no name":        {"images: [{repository: a/b}]", "images[0].name"},
		"nowhere":        {"images: [{name: a}]", "images[0].repository"},
		"ref and tag":    {"images: [{name: a, ref: b, tag: c}]", "images[0].tag"},
		"two places":     {"images: [{name: a, ref: b, repository: c}]", "images[0].repository"},
		"bad repository": {"images: [{name: a, repository: A//B}]", "images[0]: Invalid"},
		"bad digest":     {`images: [{name: a, repository: b, tag: "sha256:1"}]`, "images[0]: Invalid"},
		"bad constraint": {`images: [{name: a, repository: b, targetVersion: "> one"}]`, "images[0].targetVersion"},
		"second image":   {"images: [{name: a, repository: b}, {name: a}]", "images[1].repository"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "GA-1008") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(builtin)
	f.Add([]byte(`{images: [{name: a, ref: "b:c@sha256:d", architectures: [x], targetVersion: "^1 || 2 - 3", labels: [1]}], caBundle: {inline: x}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		sources, err := Parse(raw)
		if err != nil {
			return
		}
		text, err := sources.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		for _, name := range sources.Names() {
			one, errOne := sources.Find(name, "1.36.3", "amd64")
			two, errTwo := again.Find(name, "1.36.3", "amd64")
			if diff := cmp.Diff(one, two); diff != "" || (errOne == nil) != (errTwo == nil) {
				t.Errorf("%s differs once written: %s (%v, %v)", name, diff, errOne, errTwo)
			}
		}
	})
}
