package hoststep

import (
	"context"
	"fmt"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/pool"
)

// Render makes the OperatingSystemConfig of a control plane pool with the static pods of its nodes.
func Render(in component.Input, nodes []cluster.Node, of cluster.Pool) (*extensionsv1alpha1.OperatingSystemConfig, error) {
	return pool.Config(in, nodes, of)
}

// Settings is what makes a host a node: its pool's OperatingSystemConfig, and the facts that become local drop-ins.
type Settings struct {
	Host   *host.Host
	Source agent.Source
	Config *extensionsv1alpha1.OperatingSystemConfig
	Facts  host.Facts
	Node   cluster.Node
}

// LayFiles lays the files and units of the node and starts none of them.
func (s Settings) LayFiles(ctx context.Context) error {
	want, err := s.Want()
	if err != nil {
		return err
	}
	_, err = agent.New(*s.Host, s.Source).ReconcileUntil(ctx, want, "") // up to no unit
	return err
}

// StartRuntime lays the configuration, starts what comes up to the container runtime, and waits for it:
// images must be there before the kubelet starts the first pods.
func (s Settings) StartRuntime(ctx context.Context) error {
	want, err := s.Want()
	if err != nil {
		return err
	}
	if _, err := agent.New(*s.Host, s.Source).ReconcileUntil(ctx, want, layout.UnitContainerd); err != nil {
		return err
	}
	if err := s.Host.Images.Ready(ctx); err != nil {
		return fmt.Errorf("wait for containerd: %w", err)
	}
	return nil
}

// StartNode goes on to the end; the kubelet then starts the control plane.
func (s Settings) StartNode(ctx context.Context) error {
	want, err := s.Want()
	if err != nil {
		return err
	}
	_, err = agent.New(*s.Host, s.Source).Reconcile(ctx, want)
	return err
}

// Want is the configuration with the local additions of this host, decoded and checked.
func (s Settings) Want() (agent.Want, error) {
	local, err := dropin.Compute(s.Facts, s.Node)
	if err != nil {
		return agent.Want{}, err
	}
	return agent.NewWant(s.Config, local, s.Node.Name)
}
