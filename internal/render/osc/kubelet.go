package osc

import (
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// kubeletUnit keeps ExecStart in the form that webhooks can edit (contract node-agent-and-osc §1.3).
// StateDirectory makes the drop-in directory: kubelet does not start when --config-dir is missing.
const kubeletUnit = `[Unit]
Description=kubelet daemon
Documentation=https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet
Wants=%[1]s %[2]s
After=%[1]s %[2]s
StartLimitIntervalSec=0

[Service]
CPUAccounting=true
MemoryAccounting=true
StateDirectory=kubelet/config.d
EnvironmentFile=-/etc/environment
EnvironmentFile=-%[3]s
Environment="HTTP2_READ_IDLE_TIMEOUT_SECONDS=%[4]d" "HTTP2_PING_TIMEOUT_SECONDS=%[5]d"
ExecStart=%[6]s
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
`

func kubeletSecrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{secret.Authority(secret.AuthorityClient)}
}

// kubelet is contract node-agent-and-osc §3.1.
func kubelet(in Input) ([]unit, []file, error) {
	files, err := programs(in.Images, []program{{layout.FileKubeletBinary, image.Hyperkube, "/usr/local/bin/kubelet"}})
	if err != nil {
		return nil, nil, err
	}
	config, err := yaml.Marshal(kubeletConfiguration(in.Cluster, in.Pool))
	if err != nil {
		return nil, nil, fmt.Errorf("render KubeletConfiguration: %w", err)
	}
	files = append(files,
		inline(layout.FileKubeletCA, 0o644, in.Secrets.Get(secret.AuthorityClient, "", secret.DataCACert)),
		inline(layout.FileKubeletConfig, 0o600, config),
	)
	command, err := kubeletCommand(in.Cluster, in.Pool)
	if err != nil {
		return nil, nil, err
	}
	idle, ping := http2Timeouts(in.Cluster)
	return []unit{{
		Name:   layout.UnitKubelet,
		Enable: new(true),
		Content: new(fmt.Sprintf(kubeletUnit, layout.UnitContainerd, layout.UnitNetwork, layout.FileKubeletArgs,
			idle/time.Second, ping/time.Second, command)),
		FilePaths: []string{layout.FileKubeletBinary, layout.FileKubeletCA, layout.FileKubeletConfig},
	}}, files, nil
}

// kubeletCommand is kubelet's command line, a flag a line. A control plane node's kubelet has no --bootstrap-kubeconfig: with it
// kubelet ends when its client certificate expired while the machine was off and the API server that could help is the one that
// this kubelet has to start (kubernetes 1.36.3, pkg/kubelet/certificate/bootstrap, LoadClientConfig).
func kubeletCommand(c *cluster.Cluster, pool cluster.Pool) (string, error) {
	labels, err := kubeletLabels(c, pool)
	if err != nil {
		return "", err
	}
	lines := []string{layout.FileKubeletBinary}
	if !pool.ControlPlane {
		lines = append(lines, "--bootstrap-kubeconfig="+layout.FileKubeletBootstrap)
	}
	lines = append(lines,
		"--config="+layout.FileKubeletConfig,
		"--config-dir="+layout.DirKubeletConfig,
		"--kubeconfig="+layout.FileKubeletConf,
	)
	for _, label := range labels {
		lines = append(lines, "--node-labels="+label)
	}
	lines = append(lines,
		"--container-runtime-endpoint=unix://"+layout.SocketContainerd,
		"--runtime-cgroups=/system.slice/"+layout.UnitContainerd,
		"--v=2",
		"$KUBELET_EXTRA_ARGS",
	)
	return strings.Join(lines, " \\\n    "), nil
}

// http2Timeouts are such that kubelet leaves a dead connection before the controller manager gives the node up.
func http2Timeouts(c *cluster.Cluster) (idle, ping time.Duration) {
	manager := c.Shoot.Spec.Kubernetes.KubeControllerManager
	if manager == nil || manager.NodeMonitorGracePeriod == nil || manager.NodeMonitorGracePeriod.Duration >= 46*time.Second {
		return 30 * time.Second, 15 * time.Second
	}
	rest := manager.NodeMonitorGracePeriod.Duration - 2*time.Second
	return rest * 2 / 3, rest / 3
}
