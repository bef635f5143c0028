// Package apiserver turns a cluster into the kube-apiserver of a control plane node.
// Used by render/catalog.
package apiserver

import (
	"fmt"

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

const name = "kube-apiserver"

// Directories in the container (contract control-plane §3).
const (
	dirServer         = "/srv/kubernetes/apiserver"
	dirClientCA       = "/srv/kubernetes/ca-client"
	dirFrontProxyCA   = "/srv/kubernetes/ca-front-proxy"
	dirAggregator     = "/srv/kubernetes/aggregator"
	dirKubeletCA      = "/srv/kubernetes/ca-kubelet"
	dirKubelet        = "/srv/kubernetes/apiserver-kubelet"
	dirServiceAccount = "/srv/kubernetes/service-account-key"
	dirEtcdCA         = "/srv/kubernetes/etcd/ca"
	dirEtcdClient     = "/srv/kubernetes/etcd/client"
	dirEncryption     = "/etc/kubernetes/etcd-encryption-secret"
	dirAuditPolicy    = "/etc/kubernetes/audit"
	dirAuthentication = "/etc/kubernetes/structured/authentication"
	dirAuthorization  = "/etc/kubernetes/structured/authorization"
	dirAdmission      = "/etc/kubernetes/admission"
	dirAuditLog       = "/var/log/kube-apiserver"

	dirAuthorizationKubeconfigs = "/etc/kubernetes/structured/authorization-kubeconfigs"
	dirAdmissionKubeconfigs     = "/etc/kubernetes/admission-kubeconfigs"
)

// New returns kube-apiserver.
func New() component.Component {
	return component.Component{
		Name:    name,
		Images:  []string{image.KubeAPIServer},
		Secrets: secrets,
		Objects: objects,
		Host:    host,
		Check: func(c *cluster.Cluster) error {
			_, err := shootFiles(c)
			return err
		},
	}
}

func host(in component.Input, node cluster.Node) (staticpod.Workload, error) {
	ref, err := in.Images.Reference(image.KubeAPIServer)
	if err != nil {
		return staticpod.Workload{}, fmt.Errorf("render kube-apiserver: %w", err)
	}
	configs, err := configFiles(in)
	if err != nil {
		return staticpod.Workload{}, fmt.Errorf("render kube-apiserver: %w", err)
	}
	return workload.Deployment(workload.Program{
		Name:    name,
		App:     "kubernetes",
		Role:    "apiserver",
		Image:   ref,
		Command: workload.Command(name, flags(in.Cluster, node)),
		Files:   append(configs, secretFiles(in, node)...),
		Volumes: []corev1.Volume{{Name: "audit-log", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: layout.DirAuditLog, Type: ptr.To(corev1.HostPathDirectoryOrCreate)},
		}}},
		Mounts: []corev1.VolumeMount{{Name: "audit-log", MountPath: dirAuditLog}},
		Probe: workload.Probe{
			// Alive without etcd: restarting the API server does not heal etcd, it only loses the caches.
			Scheme: corev1.URISchemeHTTPS, Port: cluster.APIServerPort, Live: "/livez?exclude=etcd", Ready: "/readyz",
		},
		Grace:   grace(in.Cluster),
		CPU:     "150m",
		Memory:  "300Mi",
		AtLeast: workload.MinAllowed(settings(in.Cluster).Autoscaling),
	}), nil
}

// grace is how many seconds the API server has to end. Alone, with an etcd that is replaced at the same time, it waits in vain for its
// last requests, and the kubelet waits for it before it starts etcd. Among others it says for a while that it is leaving, see flags.
func grace(c *cluster.Cluster) *int64 {
	if c.ControlPlane.Worker.Maximum > 1 {
		return nil // 30, Kubernetes' default
	}
	return ptr.To[int64](10)
}

func secretFiles(in component.Input, node cluster.Node) []workload.Files {
	return []workload.Files{
		workload.Certificate(in.Secrets, serving(in.Cluster, node), dirServer),
		workload.Bundle(in.Secrets, secret.AuthorityClient, dirClientCA),
		workload.Bundle(in.Secrets, secret.AuthorityFrontProxy, dirFrontProxyCA),
		workload.Certificate(in.Secrets, secret.Aggregator(), dirAggregator),
		workload.Bundle(in.Secrets, secret.AuthorityKubelet, dirKubeletCA),
		workload.Certificate(in.Secrets, secret.KubeletClient(), dirKubelet),
		workload.Issued(in.Secrets, secret.ServiceAccountKey(), dirServiceAccount, secret.DataSigningKey, secret.DataSigningPub),
		workload.Bundle(in.Secrets, secret.AuthorityEtcd, dirEtcdCA),
		workload.Certificate(in.Secrets, secret.EtcdClient(), dirEtcdClient),
	}
}
