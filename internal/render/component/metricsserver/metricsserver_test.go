package metricsserver

import (
	"bytes"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
	"github.com/gardenadm/gardenadm/internal/secret"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func input(t *testing.T) component.Input {
	t.Helper()
	c := componenttest.Cluster(t)
	return componenttest.Input(c, secrets(c, nil))
}

// TestNoPrivateKey: the pod mounts one Secret, by name; no key is in an object of the component.
func TestNoPrivateKey(t *testing.T) {
	text := golden.YAML(t, componenttest.Objects(t, New(), input(t))...)
	for _, key := range []string{secret.DataCAKey, "metrics-server tls.key"} {
		if bytes.Contains(text, []byte(key)) {
			t.Errorf("the objects hold %s:\n%s", key, text)
		}
	}
}

// TestWhatIsIssuedAnewRollsPods: the certificate by its name, the authorities by their checksum.
func TestWhatIsIssuedAnewRollsPods(t *testing.T) {
	template := func(in component.Input) string {
		for _, object := range componenttest.Objects(t, New(), in) {
			if deployment, ok := object.(*appsv1.Deployment); ok {
				return string(golden.YAML(t, deployment.Spec.Template))
			}
		}
		t.Fatal("no Deployment is rendered")
		return ""
	}
	before := template(input(t))
	for name, key := range map[string]string{name: secret.DataCert, secret.AuthorityKubelet: secret.DataCACert, secret.AuthorityFrontProxy: secret.DataCACert} {
		in := input(t)
		in.Secrets[name].Data[key] = []byte("another")
		if template(in) == before {
			t.Errorf("another %s of %s leaves the pods as they are", key, name)
		}
	}
}
