package demand

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"github.com/google/go-cmp/cmp"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
)

func newCluster(t *testing.T, changes ...func(*gardencore.Shoot)) *cluster.Cluster {
	t.Helper()
	set := manifest.Builtin(manifest.DefaultNodes())
	for _, change := range changes {
		change(set.Shoot)
	}
	out, err := cluster.New(set, "11111111-2222-3333-4444-555555555555")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func withWorkers(shoot *gardencore.Shoot) {
	worker := *shoot.Spec.Provider.Workers[0].DeepCopy()
	worker.Name, worker.ControlPlane = "more", nil
	shoot.Spec.Provider.Workers = append(shoot.Spec.Provider.Workers, worker)
}

func TestImages(t *testing.T) {
	pods := []string{image.CoreDNS, image.Etcd, image.Flannel, image.KubeAPIServer, image.KubeControllerManager, image.KubeProxy, image.KubeScheduler, image.MetricsServer, image.Pause}
	hosts := []string{image.CNIPlugins, image.Containerd, image.Hyperkube, image.Runc}
	for name, c := range map[string]struct {
		change func(*gardencore.Shoot)
		not    string
	}{
		"built-in":     {change: func(*gardencore.Shoot) {}},
		"with workers": {change: withWorkers},
	} {
		t.Run(name, func(t *testing.T) {
			var want []Image
			for _, pod := range pods {
				want = append(want, Image{pod, bundle.UsePod})
			}
			for _, host := range hosts {
				want = append(want, Image{host, bundle.UseHost})
			}
			want = slices.DeleteFunc(want, func(i Image) bool { return i.Name == c.not })
			slices.SortFunc(want, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
			got, err := Images(newCluster(t, c.change))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What components declare and nodes take programs from is what was found, and the built-in image vector has nothing else.
func TestFoundIsWhatIsDeclared(t *testing.T) {
	c := newCluster(t, withWorkers)
	got, err := Images(c)
	if err != nil {
		t.Fatal(err)
	}
	r := rendered(t, c)
	declared := append(catalog.Images(c), image.Pause)
	for _, reference := range r.host {
		declared = append(declared, r.names[reference])
	}
	sources, err := image.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, one := range got {
		found = append(found, one.Name)
	}
	if want := slices.Compact(slices.Sorted(slices.Values(declared))); !slices.Equal(found, want) {
		t.Errorf("found %v, declared are %v", found, want)
	}
	if want := sources.Names(); !slices.Equal(found, want) {
		t.Errorf("found %v, the image vector has %v", found, want)
	}
}

// No reference hides where the walk does not look: not in a command, a file, an annotation or a unit.
func TestEveryReferenceIsFound(t *testing.T) {
	c := newCluster(t, withWorkers)
	r := rendered(t, c)
	objects, err := catalog.Objects(r.in)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	write := func(object any) {
		raw, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(raw)
	}
	for _, object := range objects {
		write(object)
	}
	for _, pool := range c.Pools {
		in := osc.Input{Cluster: c, Pool: pool, Images: r.in.Images, Secrets: r.in.Secrets}
		if pool.ControlPlane {
			pods, err := catalog.StaticPods(r.in, r.node)
			if err != nil {
				t.Fatal(err)
			}
			in.Nodes, in.StaticPods = []cluster.Node{r.node}, map[string][]staticpod.Pod{r.node.Name: pods}
		}
		config, err := osc.Build(in)
		if err != nil {
			t.Fatal(err)
		}
		write(config)
		for _, file := range config.Spec.Files {
			if inline := file.Content.Inline; inline != nil && inline.Encoding == "b64" {
				raw, err := base64.StdEncoding.DecodeString(inline.Data)
				if err != nil {
					t.Fatal(err)
				}
				text.Write(raw)
			}
		}
	}
	found := append(slices.Clone(r.pod), r.host...)
	seen := regexp.MustCompile(`demand\.gardenadm\.invalid/[a-z-]+:v0`).FindAllString(text.String(), -1)
	if len(seen) < len(r.names) {
		t.Fatalf("only %d references were rendered", len(seen))
	}
	for _, reference := range seen {
		if !slices.Contains(found, reference) {
			t.Errorf("%s was rendered and not found", reference)
		}
	}
}

func TestAForeignReferenceIsAnError(t *testing.T) {
	r := rendered(t, newCluster(t))
	r.pod = append(r.pod, "registry.test/other:v1")
	if _, err := r.images(); err == nil || !strings.Contains(err.Error(), `"registry.test/other:v1" is not of the image vector`) {
		t.Errorf("got %v", err)
	}
}

func rendered(t *testing.T, c *cluster.Cluster) *rendering {
	t.Helper()
	sources, err := image.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRendering(c, sources.Names())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.all(); err != nil {
		t.Fatal(err)
	}
	return r
}
