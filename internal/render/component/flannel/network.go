package flannel

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

const (
	backendVXLAN  = "vxlan"
	backendHostGW = "host-gw"
)

// providerConfig is what the Shoot's spec.networking.providerConfig may say about flannel.
type providerConfig struct {
	metav1.TypeMeta `json:",inline"`
	// Backend is vxlan (default), or host-gw where all nodes share one network segment.
	Backend string `json:"backend,omitempty"`
}

// network is flannel's own configuration file.
type network struct {
	Network        string
	EnableNFTables bool
	Backend        backend
}

type backend struct {
	Type string
	Port int `json:",omitempty"`
}

// networkConfiguration uses nftables as kube-proxy does: two packet filters of different age on one node are hard to reason about.
func networkConfiguration(c *cluster.Cluster) (string, error) {
	wish := providerConfig{Backend: backendVXLAN}
	if raw := c.Shoot.Spec.Networking.ProviderConfig; raw != nil && len(raw.Raw) > 0 {
		if err := yaml.UnmarshalStrict(raw.Raw, &wish); err != nil {
			return "", fault.New(fault.BadManifest, "spec.networking.providerConfig: %w", err)
		}
	}
	out := network{Network: c.Pods[0].String(), EnableNFTables: true, Backend: backend{Type: wish.Backend}}
	switch wish.Backend {
	case backendVXLAN:
		out.Backend.Port = layout.PortVXLAN
	case backendHostGW:
	default:
		return "", fault.New(fault.BadManifest, "spec.networking.providerConfig.backend: %q is none of %s, %s", wish.Backend, backendVXLAN, backendHostGW)
	}
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", fileNetwork, err)
	}
	return string(raw) + "\n", nil
}
