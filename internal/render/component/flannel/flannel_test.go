package flannel

import (
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/render/component/componenttest"
)

func TestGolden(t *testing.T) { componenttest.Golden(t, New()) }

func TestBackendComesFromProviderConfig(t *testing.T) {
	for _, test := range []struct{ raw, want, wantErr string }{
		{raw: `{"backend":"host-gw"}`, want: `"Type": "host-gw"`},
		{raw: `{"apiVersion":"x/v1","kind":"NetworkConfig"}`, want: `"Type": "vxlan"`},
		{raw: `{"backend":"udp"}`, wantErr: `"udp" is none of vxlan, host-gw`},
		{raw: `{"overlay":true}`, wantErr: `unknown field "overlay"`},
	} {
		c := componenttest.Cluster(t, func(shoot *gardencore.Shoot) {
			shoot.Spec.Networking.ProviderConfig = &runtime.RawExtension{Raw: []byte(test.raw)}
		})
		got, err := networkConfiguration(c)
		switch {
		case test.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), test.wantErr) || fault.ClassOf(New().Check(c)) != fault.Usage {
				t.Errorf("%s: got error %v, want one with %q", test.raw, err, test.wantErr)
			}
		case err != nil:
			t.Errorf("%s: %v", test.raw, err)
		case !strings.Contains(got, test.want):
			t.Errorf("%s: got %s, want %s", test.raw, got, test.want)
		}
	}
}
