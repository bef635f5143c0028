package cleanup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/cleanup"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
)

// All settings of a node come back to what they were, also when the file that made them is gone.
func TestSettingsOfANodeComeBack(t *testing.T) {
	m := bare(t)
	want := m.configuration()
	at := slices.IndexFunc(want.Files, func(f agent.File) bool { return f.Path == layout.FileSysctl })
	set := map[string]string{}
	for line := range strings.Lines(string(want.Files[at].Data)) {
		key, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-"), " = ")
		set[strings.ReplaceAll(key, ".", "/")] = value
	}
	if len(set) < 10 {
		t.Fatalf("the node sets %v", set)
	}
	before := map[string]string{}
	for setting := range set {
		before[setting] = "7"
	}
	before["net/ipv4/ip_forward"], before["net/ipv4/conf/eth0.100/forwarding"] = "0", "0"
	m.Leave(hosttest.Leftovers{Settings: before})
	m.becomeSo(want)
	for setting, value := range set {
		m.must(m.Kernel.Set(t.Context(), setting, value))
	}
	m.must(m.Kernel.Set(t.Context(), "net/ipv4/conf/eth0.100/forwarding", "1"))
	m.must(m.Files.Remove(t.Context(), layout.FileSysctl))
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
	// Forwarding as a whole changes others, in which it was different before.
	settings, err := m.Kernel.Settings(t.Context())
	m.must(err)
	if settings["net/ipv4/conf/all/accept_redirects"] != "0" {
		t.Error("the machine accepts redirects, which it did not before")
	}
}

// A pool's own settings are known from the file, and remembered when that was removed by a run that did not come to its end.
func TestOwnSettingsOfAPool(t *testing.T) {
	m := bare(t)
	m.Leave(hosttest.Leftovers{Settings: map[string]string{"net/core/somaxconn": "4096"}})
	m.become()
	m.write(layout.FileSysctl, "# comment = 1\n-net.core.somaxconn = 65535\nnonsense\n")
	m.must(m.Kernel.Set(t.Context(), "net/core/somaxconn", "65535"))
	m.FailOn("set net/core/somaxconn", errBoom)
	if err := cleanup.New(m.Host, options()).Run(t.Context(), nil); err == nil {
		t.Error("no error")
	}
	m.FailOn("set net/core/somaxconn", nil)
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
}

func TestProfileComesBack(t *testing.T) {
	const block = "# gardenadm: begin (x)\nexport X=y\n# gardenadm: end\n"
	for name, c := range map[string]struct{ before, node, after string }{
		"without a line's end":   {"a", "a\n" + block, "a"},
		"with one":               {"a\n", "a\n" + block, "a\n"},
		"edited since":           {"a\n", "a\n" + block + "b\n", "a\nb\n"},
		"a marker is somebody's": {"# gardenadm: begin\n", "# gardenadm: begin\n" + block, "# gardenadm: begin\n"},
		"cut off":                {"a\n", "a\n# gardenadm: begin\n", "a\n# gardenadm: begin\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m := bare(t)
			m.write("/root/.bashrc", c.before)
			m.become()
			m.write("/root/.bashrc", c.node)
			m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
			got, err := m.Files.Read(t.Context(), "/root/.bashrc")
			if err != nil || string(got) != c.after {
				t.Errorf("got %q (%v), want %q", got, err, c.after)
			}
		})
	}
	m := bare(t)
	m.must(m.Files.Remove(t.Context(), "/root/.bashrc"))
	m.become()
	m.write("/root/.bashrc", block)
	m.must(cleanup.New(m.Host, options()).Run(t.Context(), nil))
	m.wantNothingLeft()
}
