package nodeaccess

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

// TestNoFieldOfTheStatusIsForgotten: a field that Kubernetes adds is somebody else's until it is said otherwise.
func TestNoFieldOfTheStatusIsForgotten(t *testing.T) {
	var fields []string
	for field := range reflect.TypeFor[corev1.NodeStatus]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "conditions" {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	if !slices.Equal(fields, othersStatus()) {
		t.Errorf("a Node's status has the fields %q, the policy knows %q", fields, othersStatus())
	}
}
