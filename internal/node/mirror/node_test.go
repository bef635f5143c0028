package mirror_test

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/mirror"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

func (c *cluster) wanted(t *testing.T, packed bool) image.Wanted {
	t.Helper()
	out, err := image.NewWanted(c.pinned(t), image.Join)
	check(t, err)
	out.Packed = packed
	return out
}

func TestPull(t *testing.T) {
	c := newCluster(t, nil)
	unpacked := c.wanted(t, false)
	packed, tag := c.wanted(t, true), image.Wanted{Image: tagged, When: image.Later}
	for name, one := range map[string]image.Wanted{"import": unpacked, "store": packed, "import " + tagged: tag} {
		t.Run(name, func(t *testing.T) {
			joining := newNode()
			images := joining.door.Images
			// The content is there under a name that nobody asks for, and unpinned: as after a release.
			joining.has(t, "bundle.gardenadm.dev/hyperkube:old", c.image, false)
			joining.ClearLog()
			missing, err := mirror.Missing(t.Context(), images, []image.Wanted{one})
			if err != nil || !slices.Equal(missing, []image.Wanted{one}) {
				t.Fatalf("missing is %v, %v", missing, err)
			}
			check(t, c.client.Pull(t.Context(), images, []image.Wanted{one}))
			verb, _, _ := strings.Cut(name, " ")
			if log := joining.Log(); len(log) != 1 || !strings.HasPrefix(log[0], verb+" "+one.Image) || !strings.HasSuffix(log[0], " pinned") {
				t.Errorf("it did %q", log)
			}
			check(t, c.client.Pull(t.Context(), images, []image.Wanted{one}))
			if log := joining.Log(); len(log) != 1 {
				t.Errorf("the second pull did %q", log[1:])
			}
		})
	}
}

func TestMissingIsWhatPodsWouldMiss(t *testing.T) {
	c := newCluster(t, nil)
	one := c.wanted(t, false)
	tests := map[string]struct {
		name    string
		pinned  bool
		missing bool
	}{
		"whole":             {one.Image, true, false},
		"not pinned":        {one.Image, false, true},
		"without the tag":   {"bundle.gardenadm.dev/hyperkube@" + one.Digest, true, true},
		"of another name":   {"bundle.gardenadm.dev/other:v1@" + one.Digest, true, true},
		"of another digest": {tagged, true, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.has(t, test.name, c.image, test.pinned)
			got, err := mirror.Missing(t.Context(), n.door.Images, []image.Wanted{one})
			if err != nil || (len(got) == 1) != test.missing {
				t.Errorf("missing is %v, %v", got, err)
			}
		})
	}
}

func TestOneThatFailsKeepsNoOtherAway(t *testing.T) {
	c := newCluster(t, nil)
	other := image.Wanted{Image: "bundle.gardenadm.dev/other:v2", When: image.Join}
	n := newNode()
	err := c.client.Pull(t.Context(), n.door.Images, []image.Wanted{other, c.wanted(t, false)})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "pull image "+other.Image) || !hasCode(err, fault.MirrorLacks) {
		t.Errorf("the error is %v", err)
	}
	left, err := mirror.Missing(t.Context(), n.door.Images, []image.Wanted{c.wanted(t, false)})
	if err != nil || len(left) != 0 {
		t.Errorf("missing is %v, %v", left, err)
	}
}

func hasCode(err error, code fault.Code) bool {
	return slices.ContainsFunc(fault.Of(err), func(e *fault.Error) bool { return e.Code == code })
}

func TestWhyNoMirrorGivesAnything(t *testing.T) {
	type spoiled = []func(http.ResponseWriter, *http.Request) http.ResponseWriter
	forbids := func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
		w.WriteHeader(http.StatusForbidden)
		return w
	}
	for name, test := range map[string]struct {
		mirrors spoiled
		code    fault.Code
	}{
		"no containerd":                     {spoiled{refuses}, fault.MirrorSilent},
		"another network":                   {spoiled{forbids}, fault.MirrorRefuses},
		"another network for both":          {spoiled{forbids, forbids}, fault.MirrorRefuses},
		"another network, and one restarts": {spoiled{forbids, refuses}, fault.MirrorSilent},
		"one restarts, and another network": {spoiled{refuses, forbids}, fault.MirrorSilent},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, test.mirrors...)
			if _, err := c.pull(t); !hasCode(err, test.code) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	c := newCluster(t, nil)
	for name, test := range map[string]struct {
		list []image.Wanted
		want bool // pinned
	}{
		"of a worker that wants it":      {[]image.Wanted{c.wanted(t, false)}, true},
		"of a worker with a newer list":  {nil, false},
		"of a node that serves the next": {[]image.Wanted{{Image: "bundle.gardenadm.dev/next:v2", When: image.Later, Packed: true}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.has(t, c.pinned(t), c.image, true)
			check(t, mirror.Release(t.Context(), n.door.Images, test.list))
			have, err := n.door.Images.List(t.Context())
			check(t, err)
			if slices.ContainsFunc(have, func(one host.Image) bool { return one.Pinned != test.want }) {
				t.Errorf("there are %v", have)
			}
		})
	}
}

func TestOfNode(t *testing.T) {
	server := func(name, address string, draining bool) endpoint.Server {
		return endpoint.Server{Node: name, Addresses: []netip.AddrPort{netip.MustParseAddrPort(address)}, Draining: draining}
	}
	known := endpoint.Known{List: endpoint.List{Servers: []endpoint.Server{
		server("a", "127.0.0.2:1", true), server("b", "127.0.0.3:1", false), server("c", "[::1]:1", false),
	}}}
	some := serve(t, http.NotFoundHandler())
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: some.Certificate().Raw})
	client, err := mirror.OfNode(newNode().door, known, authority)
	check(t, err)
	_, err = client.Digest(t.Context(), tagged) // nobody listens there
	text := err.Error()
	leaving := strings.Index(text, "https://127.0.0.2:7444: ")
	for _, url := range []string{"https://127.0.0.3:7444: ", "https://[::1]:7444: "} {
		if at := strings.Index(text, url); at < 0 || at > leaving {
			t.Errorf("%s is not asked before the one that leaves: %s", url, text)
		}
	}
	if _, err := mirror.OfNode(newNode().door, known, nil); err == nil {
		t.Error("whoever answers is trusted")
	}
	if _, err := mirror.OfNode(newNode().door, endpoint.Known{}, authority); err == nil {
		t.Error("a client without mirrors was made")
	}
}
