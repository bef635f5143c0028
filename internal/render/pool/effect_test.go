package pool

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

// trial changes one field of a Shoot.
type trial struct {
	// value is what the field becomes, as YAML.
	value string
	// given is changed before, in both Shoots that are compared.
	given func(*gardencore.Shoot)
	// with is what must change beside the field for a Shoot that passes; it must not make a difference by itself.
	with func(*gardencore.Shoot)
}

// TestEffects: what the table calls an effect shows in something that is rendered.
func TestEffects(t *testing.T) {
	trials := trials()
	plain := rendered(t, clusterOf(t, base(t)))
	for _, f := range fields(cluster.Effect) {
		if len(f.Only) == 1 {
			t.Errorf("%s can only be %s: nothing can come of it", f.Path, f.Only[0])
		}
		one, ok := trials[f.Path]
		if !ok {
			t.Errorf("no Shoot shows the effect of %s", f.Path)
			continue
		}
		delete(trials, f.Path)
		t.Run(f.Path, func(t *testing.T) {
			was, after := plain, base(t)
			if one.given != nil {
				before := base(t)
				one.given(before.Shoot)
				one.given(after.Shoot)
				was = rendered(t, clusterOf(t, before))
			}
			if one.with != nil {
				one.with(after.Shoot)
			}
			set(t, after.Shoot, f.Path, one.value)
			if rendered(t, clusterOf(t, after)) == was {
				t.Errorf("nothing is rendered differently with %s: %s", f.Path, one.value)
			}
		})
	}
	for path := range trials {
		t.Errorf("%s has no effect by the table", path)
	}
}

// TestWhatIsKeptDoesNothing: it also shows that equal wishes are rendered equally, without which TestEffects would say nothing.
func TestWhatIsKeptDoesNothing(t *testing.T) {
	was := rendered(t, clusterOf(t, base(t)))
	for path, value := range map[string]string{
		"spec.purpose": "testing", "spec.tolerations": "[{key: a}]", "spec.maintenance.confineSpecUpdateRollout": "true",
		"spec.provider.workers[].updateStrategy": string(gardencore.AutoRollingUpdate), "spec.provider.workers[].maxUnavailable": "2",
	} {
		set, _ := changed(t, path, value)
		if rendered(t, clusterOf(t, set)) != was {
			t.Errorf("%s: %s has an effect", path, value)
		}
	}
}

// TestChecks: what the table calls checked is refused when it does not fit.
func TestChecks(t *testing.T) {
	const worker = "spec.provider.workers[]."
	values := map[string]string{
		"spec.cloudProfile.kind": "NamespacedCloudProfile", "spec.cloudProfile.name": "other",
		"spec.dns.providers[].type": "aws-route53", "spec.networking.type": "calico", "spec.networking.ipFamilies": "[IPv6]",
		"spec.provider.type": "local", "spec.kubernetes.kubeProxy.mode": "IPTables", "spec.kubernetes.kubeProxy.enabled": "false",
		worker + "kubernetes.version": "1.35.0", worker + "cri.name": "docker",
		worker + "machine.type": "other", worker + "machine.image.name": "other", worker + "machine.image.version": "0.0.1",
	}
	for _, f := range fields(cluster.Checked) {
		value, ok := values[f.Path]
		if !ok {
			t.Errorf("no value shows that %s is checked", f.Path)
			continue
		}
		set, path := changed(t, f.Path, value)
		_, err := cluster.New(set, "uid")
		var problems manifest.Problems
		if !errors.As(err, &problems) || !strings.HasPrefix(problems[0].Path, path) {
			t.Errorf("%s: %s: got %v, want a problem there", f.Path, value, err)
		}
	}
}

func fields(of cluster.Heed) []cluster.Field {
	var out []cluster.Field
	for _, section := range cluster.FieldSections() {
		for _, f := range section.Fields {
			if f.Heed == of {
				out = append(out, f)
			}
		}
	}
	return out
}

func changed(t *testing.T, path, value string) (manifest.Set, string) {
	t.Helper()
	out := base(t)
	set(t, out.Shoot, path, value)
	return out, strings.ReplaceAll(path, "[]", "[0]")
}

// clusterOf makes the cluster, of another version as if a bundle brought it.
func clusterOf(t *testing.T, set manifest.Set) *cluster.Cluster {
	t.Helper()
	version := set.Shoot.Spec.Kubernetes.Version
	set.Shoot.Spec.Kubernetes.Version = manifest.KubernetesVersion
	c := componenttest.ClusterOf(t, set)
	c.Shoot.Spec.Kubernetes.Version = version
	return c
}

// rendered is all that comes of a cluster: secrets, objects, configurations of nodes, and what the gardenlet gives Nodes.
func rendered(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	node := componenttest.Node()
	node.Pool = c.ControlPlane.Name
	nodes := []cluster.Node{node}
	if err := catalog.Check(c); err != nil {
		t.Fatal(err)
	}
	specs, err := Secrets(c, nodes)
	if err != nil {
		t.Fatal(err)
	}
	in := component.Input{Cluster: c, Images: input(t).Images, Secrets: componenttest.Issue(specs)}
	objects, err := catalog.Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	all := []any{specs, objects}
	for _, one := range c.Pools {
		config, err := Config(in, nodes, one)
		if err != nil {
			t.Fatal(err)
		}
		labels, err := osc.NodeLabels(c, one)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, config, labels, osc.NodeTaints(c, one), osc.NodeAnnotations(one))
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// set sets the field at a path of the table; [] is the first element.
func set(t *testing.T, shoot *gardencore.Shoot, path, value string) {
	t.Helper()
	raw, err := json.Marshal(shoot)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	var leaf any
	if err := errors.Join(json.Unmarshal(raw, &tree), yaml.Unmarshal([]byte(value), &leaf)); err != nil {
		t.Fatal(err)
	}
	raw, err = json.Marshal(replaced(tree, parts(path), leaf))
	if err != nil {
		t.Fatal(err)
	}
	*shoot = gardencore.Shoot{}
	if err := yaml.UnmarshalStrict(raw, shoot); err != nil {
		t.Fatal(err)
	}
}

// parts are the keys and indices of a path.
func parts(path string) []string {
	if before, key, found := strings.Cut(path, "["); found && !strings.HasPrefix(key, "]") {
		return append(strings.Split(before, "."), strings.TrimSuffix(key, "]"))
	}
	return strings.Split(strings.ReplaceAll(path, "[]", ".0"), ".")
}

func replaced(tree any, path []string, leaf any) any {
	if len(path) == 0 {
		return leaf
	}
	if list, ok := tree.([]any); ok {
		at, _ := strconv.Atoi(path[0])
		list[at] = replaced(list[at], path[1:], leaf)
		return list
	}
	object, _ := tree.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[path[0]] = replaced(object[path[0]], path[1:], leaf)
	return object
}

// base is the directory most-fields with a second pool, a second object of each kind that a Shoot refers to, and choices in the CloudProfile.
func base(t *testing.T) manifest.Set {
	t.Helper()
	set, err := manifest.Read(golden.Inputs(t, "shoots/most-fields"))
	if err != nil {
		t.Fatal(err)
	}
	profile := &set.CloudProfile.Spec
	profile.Regions[0].Zones = append(profile.Regions[0].Zones, gardencore.AvailabilityZone{Name: "zone-b"})
	region := profile.Regions[0]
	region.Name = "other"
	profile.Regions = append(profile.Regions, region)
	machine := profile.MachineTypes[0]
	machine.Name, machine.Architecture = "any-arm64", new("arm64")
	profile.MachineTypes = append(profile.MachineTypes, machine)
	for _, config := range set.ConfigMaps {
		other := config.DeepCopy()
		other.Name += "-2"
		for key := range other.Data {
			other.Data[key] = strings.NewReplacer("omitStages: [RequestReceived]", "omitStages: [Panic]", "login.example.com", "other.example.com", "timeout: 3s", "timeout: 4s").
				Replace(other.Data[key])
		}
		set.ConfigMaps = append(set.ConfigMaps, other)
		if config.Name == "authorization" {
			both := config.DeepCopy()
			both.Name = authorizationOfTwo
			_, webhook, _ := strings.Cut(config.Data["config.yaml"], "authorizers:\n")
			both.Data["config.yaml"] += strings.ReplaceAll(webhook, "guests", "others")
			set.ConfigMaps = append(set.ConfigMaps, both)
		}
	}
	for _, name := range []string{"one", "two"} {
		set.Secrets = append(set.Secrets, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "garden", Name: name}, Data: map[string][]byte{"username": []byte(name), "password": []byte("not-a-real-one")},
		})
	}
	first := set.Shoot.Spec.Provider.Workers[0]
	first.Name, first.ControlPlane = "workers", nil
	set.Shoot.Spec.Provider.Workers = append(set.Shoot.Spec.Provider.Workers, *first.DeepCopy())
	merge(t, set.Shoot, accessGiven)
	return set
}

// authorizationOfTwo is a ConfigMap with two webhooks.
const authorizationOfTwo = "authorization-of-two"

const accessGiven = `
spec:
  extensions:
  - type: registry-access
    providerConfig:
      apiVersion: config.gardenadm.dev/v1alpha1
      kind: RegistryAccess
      httpProxy: http://proxy.example.com:3128
      proxySecretRef: {resourceName: proxy}
  resources:
  - {name: proxy, resourceRef: {apiVersion: v1, kind: Secret, name: one}}
  - {name: other, resourceRef: {apiVersion: v1, kind: Secret, name: two}}
`

// merge lays YAML over a Shoot.
func merge(t *testing.T, shoot *gardencore.Shoot, text string) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), shoot); err != nil {
		t.Fatal(err)
	}
}
