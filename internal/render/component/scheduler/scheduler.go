// Package scheduler turns a cluster into the kube-scheduler of a control plane node.
// Used by render/catalog.
package scheduler

import (
	"fmt"
	"path"
	"strconv"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/render/workload"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	name = "kube-scheduler"
	// user is whom Kubernetes' own roles give the scheduler's permissions.
	user = "system:kube-scheduler"
	// fileConfig is as in contract control-plane §3.
	fileConfig = "/var/lib/kube-scheduler-config/config.yaml"
)

// New returns kube-scheduler.
func New() component.Component {
	return component.Component{
		Name:    name,
		Images:  []string{image.KubeScheduler},
		Secrets: secrets,
		Host:    host,
	}
}

func secrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{secret.Authority(secret.AuthorityCluster), client()}
}

func client() secret.Spec {
	return secret.Spec{Name: name, Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: user}
}

func host(in component.Input, _ cluster.Node) (staticpod.Workload, error) {
	ref, err := in.Images.Reference(image.KubeScheduler)
	if err != nil {
		return staticpod.Workload{}, fmt.Errorf("render kube-scheduler: %w", err)
	}
	settings := ptr.Deref(in.Cluster.Shoot.Spec.Kubernetes.KubeScheduler, gardencore.KubeSchedulerConfig{})
	config, err := configuration(settings)
	if err != nil {
		return staticpod.Workload{}, fmt.Errorf("render kube-scheduler: %w", err)
	}
	return workload.Deployment(workload.Program{
		Name:    name,
		App:     "kubernetes",
		Role:    "scheduler",
		Image:   ref,
		Command: workload.Command(name, flags(settings)),
		Files: append(workload.Kubeconfig(in.Secrets, client()),
			workload.Config(name+"-config", path.Dir(fileConfig), map[string]string{path.Base(fileConfig): config}),
		),
		Probe: workload.Probe{
			Scheme: corev1.URISchemeHTTPS, Port: layout.PortScheduler, Live: "/livez", Ready: "/readyz",
		},
		CPU:    "20m",
		Memory: "64Mi",
	}), nil
}

func flags(settings gardencore.KubeSchedulerConfig) []string {
	out := []string{
		"--authentication-kubeconfig=" + workload.FileKubeconfig,
		"--authorization-kubeconfig=" + workload.FileKubeconfig,
		"--bind-address=127.0.0.1",
		"--config=" + fileConfig,
		"--secure-port=" + strconv.Itoa(layout.PortScheduler),
	}
	return append(out, workload.Switches("feature-gates", settings.FeatureGates)...)
}
