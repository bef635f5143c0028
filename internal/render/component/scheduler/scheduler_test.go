package scheduler

import (
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestBinPacking(t *testing.T) {
	got, err := configuration(gardencore.KubeSchedulerConfig{Profile: ptr.To(gardencore.SchedulingProfileBinPacking)})
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/bin-packing.yaml", []byte(got))
}

func TestUnknownProfileIsRefused(t *testing.T) {
	if _, err := configuration(gardencore.KubeSchedulerConfig{Profile: ptr.To[gardencore.SchedulingProfile]("other")}); err == nil {
		t.Error("want an error")
	}
}
