package nodeagent

import (
	"context"
	"fmt"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
)

// load reads what the agent is, from the node's own files, and connects to nobody.
func load(ctx context.Context, o Options) (*daemon, error) {
	d := &daemon{Options: o}
	raw, err := o.Host.Files.Read(ctx, layout.FileNode)
	if err == nil {
		d.node, err = dropin.DecodeNode(raw)
	}
	if err != nil {
		return nil, fault.New(fault.NodeIdentity, "find out which node this is: %w", err)
	}
	if d.config, err = readConfiguration(ctx, o); err != nil {
		return nil, fault.New(fault.AgentConfiguration, "read configuration: %w", err)
	}
	if d.identity, err = readIdentity(ctx, o); err != nil {
		return nil, fault.New(fault.AgentConfiguration, "read credentials: %w", err)
	}
	if d.api, err = d.identity.client(o.Wrap); err != nil {
		return nil, fault.New(fault.AgentConfiguration, "read credentials: %w", err)
	}
	d.apiOf = d.identity.clientOf
	d.self = newSelf(d)
	d.events = newEvents(d)
	d.fillIn()
	return d, nil
}

// fillIn puts the real doors where no others are given.
func (d *daemon) fillIn() {
	if d.Supply == nil {
		d.Supply = mirrors{d}
	}
	if d.Proxy == nil {
		d.Proxy = tellProxy
	}
	if d.Probe == nil {
		d.Probe = newProber().ask
	}
	if d.Renewal == nil {
		d.Renewal = d.askControlPlane
	}
}

// readConfiguration reads contract node-agent-and-osc §3.2.
func readConfiguration(ctx context.Context, o Options) (*nodeagentv1alpha1.NodeAgentConfiguration, error) {
	raw, err := o.Host.Files.Read(ctx, layout.FileAgentConfig)
	if err != nil {
		return nil, err
	}
	out := &nodeagentv1alpha1.NodeAgentConfiguration{}
	if err := yaml.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("%s: %w", layout.FileAgentConfig, err)
	}
	nodeagentv1alpha1.SetObjectDefaults_NodeAgentConfiguration(out)
	of := out.Controllers.OperatingSystemConfig
	if of.SecretName == "" || of.KubernetesVersion == nil {
		return nil, fmt.Errorf("%s: controllers.operatingSystemConfig needs secretName and kubernetesVersion", layout.FileAgentConfig)
	}
	return out, nil
}
