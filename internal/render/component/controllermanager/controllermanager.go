// Package controllermanager turns a cluster into the kube-controller-manager of a control plane node.
// Used by render/catalog.
package controllermanager

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/render/workload"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	name = "kube-controller-manager"
	// user is whom Kubernetes' own roles give the controller manager's permissions.
	user = "system:kube-controller-manager"
)

// Directories in the container (contract control-plane §3).
const (
	dirCA             = "/srv/kubernetes/ca"
	dirClientCA       = "/srv/kubernetes/ca-client"
	dirFrontProxyCA   = "/srv/kubernetes/ca-front-proxy"
	dirKubeletCA      = "/srv/kubernetes/ca-kubelet"
	dirServiceAccount = "/srv/kubernetes/service-account-key"
)

// New returns kube-controller-manager.
func New() component.Component {
	return component.Component{
		Name:    name,
		Images:  []string{image.KubeControllerManager},
		Secrets: secrets,
		Host:    host,
	}
}

func secrets(*cluster.Cluster, []cluster.Node) []secret.Spec {
	return []secret.Spec{
		secret.Authority(secret.AuthorityCluster),
		secret.Authority(secret.AuthorityClient),
		secret.Authority(secret.AuthorityFrontProxy),
		secret.Authority(secret.AuthorityKubelet),
		client(), secret.ServiceAccountKey(),
	}
}

func client() secret.Spec {
	return secret.Spec{Name: name, Kind: secret.Client, Signer: secret.AuthorityClient, CommonName: user}
}

func host(in component.Input, _ cluster.Node) (staticpod.Workload, error) {
	ref, err := in.Images.Reference(image.KubeControllerManager)
	if err != nil {
		return staticpod.Workload{}, fmt.Errorf("render kube-controller-manager: %w", err)
	}
	return workload.Deployment(workload.Program{
		Name:    name,
		App:     "kubernetes",
		Role:    "controller-manager",
		Image:   ref,
		Command: workload.Command(name, flags(in.Cluster)),
		Files: append(workload.Kubeconfig(in.Secrets, client()),
			workload.Bundle(in.Secrets, secret.AuthorityCluster, dirCA),
			workload.Bundle(in.Secrets, secret.AuthorityFrontProxy, dirFrontProxyCA),
			// The two authorities with which it signs certificate requests, keys included.
			workload.Issued(in.Secrets, secret.Authority(secret.AuthorityClient), dirClientCA, secret.DataCACert, secret.DataCAKey),
			workload.Issued(in.Secrets, secret.Authority(secret.AuthorityKubelet), dirKubeletCA, secret.DataCACert, secret.DataCAKey),
			workload.Issued(in.Secrets, secret.ServiceAccountKey(), dirServiceAccount, secret.DataSigningKey),
		),
		Probe: workload.Probe{
			Scheme: corev1.URISchemeHTTPS, Port: layout.PortControllerManager, Live: "/healthz", Ready: "/healthz",
		},
		CPU:    "50m",
		Memory: "100Mi",
	}), nil
}
