package nodeaccess

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

// TestReadableSecrets: agents read what their configuration names, each Secret by its name.
func TestReadableSecrets(t *testing.T) {
	of := nodeagentv1alpha1.ControllerConfiguration{}
	of.OperatingSystemConfig.SecretName = "osc"
	if got := readable(of); len(got) != 1 || !slices.Equal(got[0].ResourceNames, []string{"osc"}) {
		t.Errorf("without tokens: %v", got)
	}
	of.Token.SyncConfigs = []nodeagentv1alpha1.TokenSecretSyncConfig{{SecretName: "b", Path: "/b"}, {SecretName: "a", Path: "/a"}, {SecretName: "b", Path: "/c"}}
	got := readable(of)
	if len(got) != 2 || !slices.Equal(got[1].ResourceNames, []string{"a", "b"}) || !slices.Equal(got[1].Verbs, []string{"get"}) {
		t.Errorf("with tokens: %v", got)
	}
}

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
