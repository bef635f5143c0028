package osc

import (
	"fmt"
	"time"

	"github.com/Masterminds/semver/v3"
	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
)

// nodeAgentUnit comes last: it changes all others. The memory limit is a soft one.
const nodeAgentUnit = `[Unit]
Description=gardener-node-agent, which keeps the node as its pool's configuration says
After=network.target %[1]s %[3]s
StartLimitIntervalSec=0

[Service]
ExecStart=%[2]s run node-agent
Environment=GOMEMLIMIT=64MiB
Restart=always
RestartSec=2
CPUAccounting=true
MemoryAccounting=true

[Install]
WantedBy=multi-user.target
`

// Periods of the node agent.
const (
	syncPeriod     = 30 * time.Second
	tokenPeriod    = 12 * time.Hour
	unitPeriod     = time.Minute
	stuckThreshold = 5 * time.Minute
)

// nodeAgent keeps the node as this configuration says (contract node-agent-and-osc §3.2).
func nodeAgent(in Input) ([]unit, []file, error) {
	config, err := NodeAgentConfiguration(in.Cluster, in.Pool)
	if err != nil {
		return nil, nil, err
	}
	raw, err := yaml.Marshal(config)
	if err != nil {
		return nil, nil, fmt.Errorf("render NodeAgentConfiguration: %w", err)
	}
	return []unit{{
		Name:      layout.UnitNodeAgent,
		Enable:    new(true),
		Content:   new(fmt.Sprintf(nodeAgentUnit, layout.UnitContainerd, layout.FileGardenadm, layout.UnitNetwork)),
		FilePaths: []string{layout.FileAgentConfig, layout.FileClusterCA},
	}}, []file{inline(layout.FileAgentConfig, 0o600, raw)}, nil
}

// NodeAgentConfiguration is that of the agents of a pool. They need the Secrets that it names, and no others. No tokens are kept on nodes
// so far.
func NodeAgentConfiguration(c *cluster.Cluster, pool cluster.Pool) (*nodeagentv1alpha1.NodeAgentConfiguration, error) {
	key, err := Key(c, pool)
	if err != nil {
		return nil, err
	}
	version, err := semver.NewVersion(c.KubeletVersion(pool))
	if err != nil {
		return nil, fmt.Errorf("read Kubernetes version of pool %s: %w", pool.Name, err)
	}
	period := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	out := &nodeagentv1alpha1.NodeAgentConfiguration{
		TypeMeta:  metav1.TypeMeta{APIVersion: nodeagentv1alpha1.SchemeGroupVersion.String(), Kind: "NodeAgentConfiguration"},
		LogLevel:  "info",
		LogFormat: "text",
		APIServer: nodeagentv1alpha1.APIServer{Server: c.NodeServer(), CAFile: layout.FileClusterCA},
		Controllers: nodeagentv1alpha1.ControllerConfiguration{
			OperatingSystemConfig: nodeagentv1alpha1.OperatingSystemConfigControllerConfig{SyncPeriod: period(syncPeriod), SecretName: key, KubernetesVersion: version},
			Token:                 nodeagentv1alpha1.TokenControllerConfig{SyncPeriod: period(tokenPeriod)},
			SystemdUnitCheck:      nodeagentv1alpha1.SystemdUnitCheckControllerConfig{SyncPeriod: period(unitPeriod), StuckThreshold: period(stuckThreshold)},
		},
	}
	out.ClientConnection.Kubeconfig = layout.FileAgentKubeconfig
	return out, nil
}
