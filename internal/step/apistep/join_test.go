package apistep_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
)

// node is a Node with an address.
func node(name, address string, ready bool, labels ...string) *corev1.Node {
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for _, label := range labels {
		out.Labels[label] = ""
	}
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	out.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
	out.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: address}}
	return out
}

func TestCheckName(t *testing.T) {
	self := cluster.Node{Name: "n", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	for name, test := range map[string]struct {
		node  client.Object
		taken bool
	}{
		"nobody":          {node("other", "192.0.2.1", true), false},
		"itself":          {node("n", "192.0.2.1", true), false},
		"another machine": {node("n", "192.0.2.2", true), true},
		"a dead one":      {node("n", "192.0.2.2", false), false},
	} {
		t.Run(name, func(t *testing.T) {
			api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(test.node).Build()
			err := apistep.CheckName(t.Context(), api, self)
			if found := fault.Of(err); (len(found) > 0 && found[0].Code == fault.NodeNameTaken) != test.taken || (err != nil) != test.taken {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestControlPlaneAddresses(t *testing.T) {
	const label = "node-role.kubernetes.io/control-plane"
	objects := []client.Object{node("worker", "192.0.2.99", true)}
	var want []netip.Addr
	for i := range 6 {
		address := fmt.Sprintf("192.0.2.%d", 10-i)
		objects = append(objects, node(fmt.Sprintf("cp-%d", i), address, true, label))
		want = append(want, netip.MustParseAddr(address))
	}
	got, err := apistep.ControlPlaneAddresses(t.Context(), fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).Build())
	if err != nil || !slices.Equal(got, want[:5]) {
		t.Errorf("got %v, %v, want %v", got, err, want[:5])
	}
	if _, err := apistep.ControlPlaneAddresses(t.Context(), fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()); err == nil {
		t.Error("a cluster without nodes has addresses")
	}
}

func TestConfigurationStaysSecret(t *testing.T) {
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "n"}, Data: map[string][]byte{"osc.yaml": []byte("spec: {units: hunter2}")}}
	api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(object).Build()
	_, err := apistep.ReadConfiguration(t.Context(), api, "n")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "Secret n is no YAML") {
		t.Errorf("got %v", err)
	}
}

func TestUsable(t *testing.T) {
	const critical = "node.gardener.cloud/critical-components-not-ready"
	for name, test := range map[string]struct {
		taints []string
		want   string
	}{
		"nothing":        {nil, ""},
		"its pool's own": {[]string{"mine"}, ""},
		"critical":       {[]string{"mine", critical}, "node n takes no workload yet"},
		"not ready":      {[]string{"node.kubernetes.io/not-ready"}, "the controller manager has not"},
	} {
		t.Run(name, func(t *testing.T) {
			object := node("n", "192.0.2.1", true)
			for _, key := range test.taints {
				object.Spec.Taints = append(object.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
			}
			err := apistep.Usable(t.Context(), fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(object).Build(), "n")
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
