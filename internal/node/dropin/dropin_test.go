package dropin

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/golden"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestCompute(t *testing.T) {
	tests := map[string]host.Facts{
		"server":            {CgroupVersion: 2, LowersOOMScore: true, Nameservers: addrs("192.0.2.53")},
		"machine-container": {CgroupVersion: 1, LowersOOMScore: false, Nameservers: addrs("10.89.0.1")},
		"cgroup-v1":         {CgroupVersion: 1, LowersOOMScore: true, Nameservers: addrs("192.0.2.53")},
		"no-oom":            {CgroupVersion: 2, LowersOOMScore: false, Nameservers: addrs("192.0.2.53")},
		"resolved":          {CgroupVersion: 2, LowersOOMScore: true, Nameservers: addrs("127.0.0.53"), SystemdResolvConf: true},
		"resolved-unused":   {CgroupVersion: 2, LowersOOMScore: true, Nameservers: addrs("192.0.2.53", "127.0.0.1"), SystemdResolvConf: true},
		"air-gap":           {CgroupVersion: 2, LowersOOMScore: true},
		"air-gap-loopback":  {CgroupVersion: 2, LowersOOMScore: true, Nameservers: addrs("::1", "127.0.0.1")},
	}
	node := cluster.Node{Name: "node-0", Addresses: addrs("192.0.2.10", "2001:db8::10")}
	for name, facts := range tests {
		t.Run(name, func(t *testing.T) {
			local, err := Compute(facts, node)
			if err != nil {
				t.Fatal(err)
			}
			golden.Equal(t, "testdata/"+name+".txt", []byte(describe(local)))
			checkAccepted(t, local)
		})
	}
}

func TestZoneIsALabelOfTheNode(t *testing.T) {
	for zone, want := range map[string]string{
		"":  `KUBELET_EXTRA_ARGS="--node-ip=192.0.2.10 --hostname-override=node-0"`,
		"a": `KUBELET_EXTRA_ARGS="--node-ip=192.0.2.10 --hostname-override=node-0 --node-labels=topology.kubernetes.io/zone=a"`,
	} {
		if got := kubeletArgs(cluster.Node{Name: "node-0", Addresses: addrs("192.0.2.10"), Zone: zone}); got != want+"\n" {
			t.Errorf("zone %q: got %s, want %s", zone, got, want)
		}
	}
}

func describe(local agent.Local) string {
	var out strings.Builder
	for _, file := range local.Files {
		fmt.Fprintf(&out, "=== %s %#o\n%s", file.Path, *file.Permissions, file.Content.Inline.Data)
	}
	for _, unit := range local.Units {
		fmt.Fprintf(&out, "=== %s restarts with %s\n", unit.Name, strings.Join(unit.FilePaths, " "))
		for _, dropIn := range unit.DropIns {
			fmt.Fprintf(&out, "--- %s\n%s", dropIn.Name, dropIn.Content)
		}
	}
	return out.String()
}

// checkAccepted hands the local parts to the node agent, beside the units that they amend.
func checkAccepted(t *testing.T, local agent.Local) {
	t.Helper()
	osc := &extensionsv1alpha1.OperatingSystemConfig{}
	for _, unit := range local.Units {
		osc.Spec.Units = append(osc.Spec.Units, extensionsv1alpha1.Unit{Name: unit.Name})
	}
	want, err := agent.NewWant(osc, local, "node-0")
	if err != nil || len(want.Files) != len(local.Files) || len(want.Units) != len(local.Units) {
		t.Errorf("the node agent makes %d files of %d: %v", len(want.Files), len(local.Files), err)
	}
}
