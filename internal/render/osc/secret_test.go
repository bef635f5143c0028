package osc_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

func TestSecret(t *testing.T) {
	in := input(t)
	full := build(t, in)
	full.Status.ExtensionUnits = []extensionsv1alpha1.Unit{{Name: "of-an-extension.service"}}
	object, err := osc.Secret(in.Cluster, in.Pool, full)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(object.Data[osc.DataKey])
	if object.Annotations[osc.AnnotationChecksum] != hex.EncodeToString(sum[:]) {
		t.Error("the checksum is not that of the data")
	}
	var got extensionsv1alpha1.OperatingSystemConfig
	if err := yaml.UnmarshalStrict(object.Data[osc.DataKey], &got); err != nil {
		t.Fatal(err)
	}
	if got.Kind == "" || len(got.Spec.Files) != len(full.Spec.Files) || len(got.Spec.Units) != len(full.Spec.Units) || len(got.Status.ExtensionUnits) != 1 || got.Spec.CRIConfig == nil {
		t.Error("what nodes need is not all in it")
	}
	if got.Name != "" || got.Spec.Purpose != "" {
		t.Error("there is more in it than nodes need")
	}
	object.Data, object.Annotations[osc.AnnotationChecksum] = nil, "" // both are told above
	golden.Equal(t, "testdata/secret.yaml", golden.YAML(t, object))

	in.Pool.ControlPlane = false
	if object, err = osc.Secret(in.Cluster, in.Pool, full); err != nil || len(object.Annotations) != 1 {
		t.Errorf("workers take turns: %v, %v", object.Annotations, err)
	}
}
