package apiserver

import (
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

// FuzzReferences: whatever the objects hold that a Shoot refers to, it is rendered or a fault of usage.
func FuzzReferences(f *testing.F) {
	c := componenttest.MostFields(f)
	for _, object := range c.Manifests.ConfigMaps {
		f.Add(object.Data[keyOf(object.Name)], "clusters: [{}]", `{"imagePolicy":{}}`)
	}
	f.Add("a: b: c", "users: [{user: {exec: {}}}]", "null")
	f.Fuzz(func(t *testing.T, text, kubeconfig, plugin string) {
		for _, object := range c.Manifests.ConfigMaps {
			object.Data[keyOf(object.Name)] = text
		}
		c.Secret("authorizer").StringData = map[string]string{cluster.KeyKubeconfig: kubeconfig}
		c.Shoot.Spec.Kubernetes.KubeAPIServer.AdmissionPlugins = []gardencore.AdmissionPlugin{
			{Name: imagePolicyWebhook, Config: raw(plugin), KubeconfigSecretName: ptr.To("authorizer")},
		}
		files, err := shootFiles(c)
		if err != nil && fault.ClassOf(err) != fault.Usage {
			t.Errorf("%v is no fault of usage", err)
		}
		if err == nil && len(files) == 0 {
			t.Error("nothing is rendered")
		}
	})
}
