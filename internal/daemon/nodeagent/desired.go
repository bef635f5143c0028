package nodeagent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/render/registry"
)

// fileLastKnown is the configuration that the node is kept at, for when the API is away. It holds secrets: only root reads it.
const fileLastKnown = layout.DirAgent + "/last-known-osc.yaml"

// desired is a configuration of the pool.
type desired struct {
	raw      []byte
	checksum string // hex SHA-256 of raw
	// serial: the nodes of the pool take turns.
	serial bool
	// since is when the agent saw it first.
	since time.Time
}

func newDesired(raw []byte, serial bool) *desired {
	sum := sha256.Sum256(raw)
	return &desired{raw: raw, checksum: hex.EncodeToString(sum[:]), serial: serial, since: time.Now()}
}

// desiredOf reads the Secret of a pool (contract node-agent-and-osc §5); nil when it holds no configuration.
func desiredOf(object *corev1.Secret) *desired {
	raw := object.Data[osc.DataKey]
	if len(raw) == 0 {
		return nil
	}
	return newDesired(raw, object.Annotations[constants.AnnotationNodeAgentSerialOSCReconciliation] == "true")
}

// want is the configuration for this node, with what this host adds.
func (d *daemon) want(ctx context.Context, of *desired) (agent.Want, error) {
	config := &extensionsv1alpha1.OperatingSystemConfig{}
	if err := yaml.Unmarshal(of.raw, config); err != nil {
		// The decoder's text may quote secrets.
		return agent.Want{}, fault.New(fault.NodeConfiguration, "read OperatingSystemConfig: it is no YAML, or a field has another type")
	}
	facts, err := d.Host.Prober.Probe(ctx)
	if err != nil {
		return agent.Want{}, err
	}
	local, err := dropin.Compute(facts, d.node)
	if err != nil {
		return agent.Want{}, err
	}
	local.Mirrors = d.mirrorsFor(ctx, config)
	want, err := agent.NewWant(d.lasting(config), local, d.node.Name)
	if err != nil {
		return agent.Want{}, fault.New(fault.NodeConfiguration, "%w", err)
	}
	return want, nil
}

// mirrorsFor returns the cluster's mirrors for the registries that extensions ask for, this node's own first.
func (d *daemon) mirrorsFor(ctx context.Context, config *extensionsv1alpha1.OperatingSystemConfig) []registry.Host {
	cri := config.Spec.CRIConfig
	if cri == nil || cri.Containerd == nil || len(cri.Containerd.Registries) == 0 {
		return nil
	}
	known, err := d.knownServers(ctx)
	if err != nil {
		d.Log.Warn("registries are used without the cluster's mirrors", "error", err)
		return nil
	}
	var own, others []registry.Host
	for _, server := range known.List.Servers {
		one := registry.Mirror(server.Addresses[0].Addr())
		if server.Node == d.node.Name {
			own = append(own, one)
		} else {
			others = append(others, one)
		}
	}
	return append(own, others...)
}

// known returns a configuration that is kept on disk; nil for a node that never had one from the API.
func (d *daemon) known(ctx context.Context, file string) (*desired, error) {
	raw, err := d.Host.Files.Read(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration that was kept: %w", err)
	}
	return newDesired(raw, false), nil
}

// keepAs writes the configuration to disk, if it is not there as it is.
func (d *daemon) keepAs(ctx context.Context, file string, of *desired) error {
	info, err := d.Host.Files.Stat(ctx, file)
	if err == nil && info.SHA256 == of.checksum && info.Mode.Perm() == 0o600 {
		return nil
	}
	if err := d.Host.Files.Write(ctx, file, bytes.NewReader(of.raw), 0o600); err != nil {
		return fmt.Errorf("keep configuration: %w", err)
	}
	return nil
}
