package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/gardenadm/gardenadm/internal/golden"
)

func TestRender(t *testing.T) {
	mirrors := []Host{
		{URL: "https://z.example:5000", Capabilities: []string{"pull", "resolve"}, CACerts: []string{"/ca/a.crt", "/ca/b.crt"}, Authorization: Basic("user", "password")},
		{URL: "https://a.example/v2/hub", OverridePath: true, DialTimeout: 2 * time.Second},
	}
	server := Host{URL: "https://quay.io", CACerts: []string{"/ca/quay.crt"}, Authorization: Basic("robot", `"\`)}
	golden.Equal(t, "testdata/whole.toml", Render(server, mirrors))
	golden.Equal(t, "testdata/mirrors.toml", Render(Host{}, mirrors))
	golden.Equal(t, "testdata/server.toml", Render(server, nil))
}

func TestFile(t *testing.T) {
	for upstream, want := range map[string]string{
		"_default":            "/etc/containerd/certs.d/_default/hosts.toml",
		"private.example:443": "/etc/containerd/certs.d/private.example:443/hosts.toml",
	} {
		if got := File(upstream); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzRender reads back what was written: nothing gets out of its quotes.
func FuzzRender(f *testing.F) {
	f.Add("https://a.example", "https://b.example", "/ca.crt", "Basic abc=")
	f.Add(`https://a"]`, "\n[host]\n", `\`, "\x7f\x00\u2028")
	f.Add("a'''", "b\"\"\"#", "ü", "\t")
	f.Fuzz(func(t *testing.T, server, mirror, ca, authorization string) {
		for _, text := range []string{server, mirror, ca, authorization} {
			if text == "" || strings.ToValidUTF8(text, "") != text {
				t.Skip()
			}
		}
		type settings struct {
			Server       string
			Capabilities []string
			CA           []string
			OverridePath bool `toml:"override_path"`
			Header       map[string]string
		}
		var got struct {
			settings
			Host map[string]settings
		}
		host := Host{URL: mirror, Capabilities: []string{"pull"}, CACerts: []string{ca}, OverridePath: true, Authorization: authorization}
		raw := Render(Host{URL: server, CACerts: []string{ca, ca}, Authorization: authorization}, []Host{host})
		if err := toml.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%v in\n%s", err, raw)
		}
		other := got.Host[mirror]
		if len(got.Host) != 1 || got.Server != server || !slices.Equal(got.CA, []string{ca, ca}) || got.Header["Authorization"] != authorization || got.OverridePath ||
			!slices.Equal(other.CA, []string{ca}) || other.Header["Authorization"] != authorization || !other.OverridePath || !slices.Equal(other.Capabilities, []string{"pull"}) {
			t.Errorf("%+v is read from\n%s", got, raw)
		}
	})
}
