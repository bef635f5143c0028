package catalog

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func nodes() []cluster.Node { return []cluster.Node{componenttest.Node()} }

func input(t *testing.T) component.Input {
	t.Helper()
	c := componenttest.Cluster(t)
	specs, err := Secrets(c, nodes())
	if err != nil {
		t.Fatal(err)
	}
	return componenttest.Input(c, specs)
}

// TestTableOfContents shows the whole cluster at a glance: what is applied in which order, and the keys of all secrets.
func TestTableOfContents(t *testing.T) {
	in := input(t)
	var lines []string
	for _, part := range All() {
		lines = append(lines, "component "+part.Name)
	}
	pods, err := StaticPods(in, componenttest.Node())
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		lines = append(lines, "static pod "+pod.Name)
	}
	objects, err := Objects(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		lines = append(lines, "object "+object.GetObjectKind().GroupVersionKind().Kind+" "+object.GetName())
	}
	for _, key := range in.Secrets.Keys() {
		lines = append(lines, "secret "+key)
	}
	for _, name := range Images(in.Cluster) {
		lines = append(lines, "image "+name)
	}
	golden.Equal(t, "testdata/contents.txt", []byte(strings.Join(lines, "\n")+"\n"))
}

func TestRenderingTwiceGivesEqualBytes(t *testing.T) {
	render := func() []byte {
		in := input(t)
		pods, err := StaticPods(in, componenttest.Node())
		if err != nil {
			t.Fatal(err)
		}
		objects, err := Objects(in)
		if err != nil {
			t.Fatal(err)
		}
		return golden.YAML(t, pods, objects)
	}
	first := render()
	for range 5 { // maps are iterated differently each time
		if !bytes.Equal(first, render()) {
			t.Fatal("two renderings differ")
		}
	}
}

func TestPodsHaveNoEmptyFile(t *testing.T) {
	pods, err := StaticPods(input(t), componenttest.Node())
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		for _, file := range pod.Files {
			if len(file.Data) == 0 {
				t.Errorf("%s: %s is empty: a secret is read but not declared", pod.Name, file.Path)
			}
		}
	}
}

func TestEverySignerIsListed(t *testing.T) {
	specs, err := Secrets(componenttest.Cluster(t), nodes())
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range specs {
		signed := slices.ContainsFunc(specs, func(s secret.Spec) bool { return s.Name == spec.Signer && s.Kind == secret.CA })
		if spec.Signer != "" && !signed {
			t.Errorf("secret %s: its signer %s is not listed", spec.Key(), spec.Signer)
		}
	}
}

func TestUnwantedComponentsLeaveNothing(t *testing.T) {
	c := componenttest.Cluster(t)
	c.Shoot.Spec.Kubernetes.KubeProxy.Enabled = ptr.To(false)
	if images := Images(c); slices.Contains(images, "kube-proxy") {
		t.Errorf("images %v hold kube-proxy", images)
	}
	objects, err := Objects(componenttest.Input(c, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if object.GetName() == "kube-proxy" {
			t.Errorf("%T kube-proxy is rendered", object)
		}
	}
}

func TestCheckListsAllThatIsWrong(t *testing.T) {
	c := componenttest.MostFields(t)
	if err := Check(c); err != nil {
		t.Error(err)
	}
	c.ConfigMap("audit").Data = nil
	c.ConfigMap("authorization").Data = nil
	err := Check(c)
	for _, want := range []string{"auditConfig.auditPolicy.configMapRef", "structuredAuthorization.configMapName"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
	shoot := c.Manifests.Origins[c.Manifests.Shoot]
	var problems manifest.Problems
	if !errors.As(err, &problems) || len(problems) != 2 || shoot.File == "" || problems[1].Origin != shoot || fault.ClassOf(err) != fault.Usage {
		t.Errorf("got %v of %v", err, shoot)
	}
}
