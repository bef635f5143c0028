package cluster_test

import (
	"net/netip"
	"strings"
	"testing"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

func TestNewFromBuiltin(t *testing.T) {
	set := manifest.Builtin(netip.MustParsePrefix("10.89.0.7/24"))
	before, err := manifest.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(set, "uid-1")
	if err != nil {
		t.Fatal(err)
	}
	after, err := manifest.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("New changed the manifests that it was given")
	}
	for name, got := range map[string]string{
		"uid-1":                         c.UID,
		"uid-1.1":                       c.EtcdToken(),
		"shoot--garden--local":          c.Shoot.Status.TechnicalID,
		"100.64.0.1":                    cluster.Join(c.APIServiceIPs()),
		"100.64.0.10":                   cluster.Join(c.DNSServiceIPs()),
		"10.89.0.0/24":                  cluster.Join(c.Nodes),
		"api." + manifest.BuiltinDomain: c.APIDomain(),
		"control-plane":                 c.ControlPlane.Name,
		"https://127.0.0.1:6443":        c.NodeServer(),
	} {
		if got != name {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	if !c.SharedControlPlane() {
		t.Error("the built-in cluster's only node must carry workload")
	}
}

func TestNewIsDeterministic(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Spec.Maintenance = nil // Gardener's default draws a random window
	var windows []gardencore.MaintenanceTimeWindow
	for range 3 {
		c, err := cluster.New(set, "u")
		if err != nil {
			t.Fatal(err)
		}
		windows = append(windows, *c.Shoot.Spec.Maintenance.TimeWindow)
	}
	if windows[0] != windows[1] || windows[1] != windows[2] {
		t.Errorf("maintenance windows differ: %v", windows)
	}
}

func TestNewKeepsShootUID(t *testing.T) {
	set := manifest.Builtin(manifest.DefaultNodes())
	set.Shoot.Status.UID = "from-manifest"
	c, err := cluster.New(set, "generated")
	if err != nil || c.UID != "from-manifest" {
		t.Errorf("got %v, %v; want the manifest's uid", c, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, change := range map[string]func(*gardencore.Shoot){
		"spec.networking.pods: must be set":                func(s *gardencore.Shoot) { s.Spec.Networking.Pods = nil },
		`spec.networking.nodes: "x" is not a network`:      func(s *gardencore.Shoot) { s.Spec.Networking.Nodes = ptr.To("x") },
		"spec.networking.services: fd00::/64: only IPv4":   func(s *gardencore.Shoot) { s.Spec.Networking.Services = ptr.To("fd00::/64") },
		"pods 100.96.0.0/11 and services 100.96.4.0/22 ov": func(s *gardencore.Shoot) { s.Spec.Networking.Services = ptr.To("100.96.4.0/22") },
		"exactly one pool must have controlPlane set, found 0": func(s *gardencore.Shoot) {
			s.Spec.Provider.Workers[0].ControlPlane = nil
		},
		"spec.dns.domain: must be set":                     func(s *gardencore.Shoot) { s.Spec.DNS = nil },
		`spec.networking.type: only "flannel"`:             func(s *gardencore.Shoot) { s.Spec.Networking.Type = ptr.To("calico") },
		`spec.kubernetes.version: "1.20.0" is not support`: func(s *gardencore.Shoot) { s.Spec.Kubernetes.Version = "1.20.0" },
	} {
		t.Run(want, func(t *testing.T) {
			set := manifest.Builtin(manifest.DefaultNodes())
			change(set.Shoot)
			_, err := cluster.New(set, "u")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		})
	}
	if _, err := cluster.New(manifest.Set{}, "u"); err == nil {
		t.Error("an empty set must be refused")
	}
}
