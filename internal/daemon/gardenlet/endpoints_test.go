package gardenlet

import (
	"context"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// disk holds the files of a node.
type disk map[string][]byte

func (d disk) Read(_ context.Context, path string) ([]byte, error) {
	content, ok := d[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return content, nil
}

func (d disk) know(t *testing.T, list endpoint.List) {
	t.Helper()
	raw, err := endpoint.Known{}.Next(list, time.Unix(0, 0)).Encode()
	must(t, err)
	d[layout.FileEndpoints] = raw
}

func (f *fixture) register(t *testing.T, files disk) (endpoint.List, error) {
	t.Helper()
	f.see(t)
	_, err := registrar{f.world, files}.reconcile(t.Context(), endpointsName)
	object := &corev1.ConfigMap{}
	must(t, client.IgnoreNotFound(f.api.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: endpointsName}, object)))
	if len(object.Data) == 0 {
		return endpoint.List{}, err
	}
	list, decodeErr := endpoint.Decode([]byte(object.Data[endpointsKey]))
	must(t, decodeErr)
	return list, err
}

func (f *fixture) change(t *testing.T, name string, change func(*corev1.Node)) {
	t.Helper()
	node := &corev1.Node{}
	must(t, f.api.Get(t.Context(), client.ObjectKey{Name: name}, node))
	change(node)
	status := node.Status
	must(t, f.api.Update(t.Context(), node))
	node.Status = status
	must(t, f.api.Status().Update(t.Context(), node))
}

func expect(t *testing.T, got endpoint.List, err error, generation, sequence int64, servers string) {
	t.Helper()
	var names []string
	for _, server := range got.Servers {
		name := server.Node + "=" + server.Addresses[0].String()
		if server.Draining {
			name += "!"
		}
		names = append(names, name)
	}
	if err != nil || got.Generation != generation || got.Sequence != sequence || strings.Join(names, " ") != servers {
		t.Errorf("got %d.%d %s, %v; want %d.%d %s", got.Generation, got.Sequence, names, err, generation, sequence, servers)
	}
}

// TestEndpoints: every change counts one, and nothing else does; the list is never empty and never goes back.
func TestEndpoints(t *testing.T) {
	f, files := newFixture(t), disk{}
	got, err := f.register(t, files)
	expect(t, got, err, 1, 1, "cp1=10.250.0.10:6443")
	got, err = f.register(t, files)
	expect(t, got, err, 1, 1, "cp1=10.250.0.10:6443")

	second := controlPlaneNode("cp0")
	second.Status.Addresses = nil
	must(t, f.api.Create(t.Context(), second))
	must(t, f.api.Create(t.Context(), workerNode("w1")))
	got, err = f.register(t, files)
	expect(t, got, err, 1, 1, "cp1=10.250.0.10:6443")
	f.change(t, "cp0", func(n *corev1.Node) {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.250.0.9"}}
	})
	got, err = f.register(t, files)
	expect(t, got, err, 1, 2, "cp0=10.250.0.9:6443 cp1=10.250.0.10:6443")
	f.change(t, "cp0", func(n *corev1.Node) { n.Annotations = map[string]string{"node.gardenadm.dev/leaving": "true"} })
	got, err = f.register(t, files)
	expect(t, got, err, 1, 3, "cp0=10.250.0.9:6443! cp1=10.250.0.10:6443")

	for _, name := range []string{"cp0", "cp1"} {
		must(t, f.api.Delete(t.Context(), controlPlaneNode(name)))
	}
	got, err = f.register(t, files)
	if err == nil || !strings.Contains(err.Error(), "stays as it is") || got.Sequence != 3 {
		t.Errorf("without nodes: %v, %v", got, err)
	}
}

// TestEndpointsGoOn: who lost the published list goes on with that of the disk, and a cluster of a later life begins anew.
func TestEndpointsGoOn(t *testing.T) {
	address := netip.MustParseAddrPort("10.250.0.10:6443")
	same := []endpoint.Server{{Node: "cp1", Addresses: []netip.AddrPort{address}}}
	other := []endpoint.Server{{Node: "cp7", Addresses: []netip.AddrPort{address}}}
	for name, c := range map[string]struct {
		published            string
		disk                 *endpoint.List
		generation, sequence int64
	}{
		"as init has seeded it":    {"", &endpoint.List{Generation: 1, Sequence: 1, Servers: same}, 1, 1},
		"lost":                     {"", &endpoint.List{Generation: 1, Sequence: 8, Servers: same}, 1, 8},
		"lost and changed":         {"", &endpoint.List{Generation: 1, Sequence: 8, Servers: other}, 1, 9},
		"damaged":                  {"{", &endpoint.List{Generation: 1, Sequence: 8, Servers: same}, 1, 8},
		"damaged, and no disk":     {"{", nil, 1, 1},
		"of a later life":          {"", &endpoint.List{Generation: 2, Sequence: 3, Servers: same}, 2, 3},
		"of a later life, changed": {"", &endpoint.List{Generation: 2, Sequence: 3, Servers: other}, 2, 4},
		"older on the disk": {
			`{"generation":1,"sequence":5,"servers":[{"node":"cp7","addresses":["10.250.0.10:6443"]}]}`, &endpoint.List{Generation: 1, Sequence: 3, Servers: same}, 1, 6,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, files := newFixture(t), disk{}
			if c.disk != nil {
				files.know(t, *c.disk)
			}
			if c.published != "" {
				must(t, f.api.Create(t.Context(), &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: endpointsName}, Data: map[string]string{endpointsKey: c.published},
				}))
			}
			got, err := f.register(t, files)
			expect(t, got, err, c.generation, c.sequence, "cp1=10.250.0.10:6443")
		})
	}
}

// TestServiceOfTheAPI: what others write there does not stay.
func TestServiceOfTheAPI(t *testing.T) {
	f := newFixture(t)
	_, err := f.register(t, disk{})
	must(t, err)
	slice := &discoveryv1.EndpointSlice{}
	at := client.ObjectKey{Namespace: "default", Name: "kubernetes"}
	must(t, f.api.Get(t.Context(), at, slice))
	want := slice.Endpoints[0].Addresses[0]
	slice.Endpoints[0].Addresses[0] = "192.0.2.1"
	must(t, f.api.Update(t.Context(), slice))
	_, err = f.register(t, disk{})
	must(t, err)
	must(t, f.api.Get(t.Context(), at, slice))
	if got := slice.Endpoints[0].Addresses; len(got) != 1 || got[0] != want {
		t.Errorf("the Service leads to %s, want %s", got, want)
	}
}
