package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

// TestNoPodKnowsTheProxy: how nodes reach registries changes nothing in a static pod or an object of the cluster.
func TestNoPodKnowsTheProxy(t *testing.T) {
	render := func(access cluster.Access) string {
		in := input(t)
		in.Cluster.Access = access
		pods, err := StaticPods(in, componenttest.Node())
		if err != nil {
			t.Fatal(err)
		}
		objects, err := Objects(in)
		if err != nil {
			t.Fatal(err)
		}
		return string(golden.YAML(t, pods, objects))
	}
	access := cluster.Access{
		Proxy:      cluster.Proxy{HTTP: "http://user:s3cret@proxy.example", HTTPS: "http://user:s3cret@proxy.example", NoProxy: []string{"localhost"}},
		CABundle:   "authority",
		Registries: []cluster.Registry{{Upstream: "docker.io", Mirrors: []cluster.RegistryHost{{URL: "https://mirror.example", Username: "user", Password: "s3cret"}}}},
	}
	if diff := cmp.Diff(render(cluster.Access{}), render(access)); diff != "" {
		t.Error(diff)
	}
}
