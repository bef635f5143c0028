// Package etcd turns a cluster into the etcd member of a control plane node.
// Used by render/catalog.
package etcd

import (
	"fmt"
	"net"
	"path"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/staticpod"
	"github.com/gardenadm/gardenadm/internal/render/workload"
)

const (
	// name is that of the StatefulSet and of its volume claim, which puts the data below layout.DirEtcd.
	name = "etcd-main"

	dirData   = "/var/etcd/data"
	dirCA     = "/var/etcd/ssl/ca"
	dirServer = "/var/etcd/ssl/server"
	dirPeerCA = "/var/etcd/ssl/peer/ca"
	dirPeer   = "/var/etcd/ssl/peer/server"

	// quota is the largest database: etcd's own advice for the upper end.
	quota = 8 << 30
)

// New returns etcd.
func New() component.Component {
	return component.Component{
		Name:    "etcd",
		Images:  []string{image.Etcd},
		Secrets: secrets,
		Host:    host,
	}
}

func host(in component.Input, node cluster.Node) (staticpod.Workload, error) {
	ref, err := in.Images.Reference(image.Etcd)
	if err != nil {
		return staticpod.Workload{}, fmt.Errorf("render etcd: %w", err)
	}
	return workload.StatefulSet(workload.Program{
		Name:    name,
		App:     "etcd-statefulset",
		Role:    "main",
		Image:   ref,
		Command: workload.Command("etcd", flags(in.Cluster, node)),
		Files: []workload.Files{
			workload.Bundle(in.Secrets, caClients, dirCA),
			workload.Certificate(in.Secrets, server(in.Cluster, node), dirServer),
			workload.Bundle(in.Secrets, caPeers, dirPeerCA),
			workload.Certificate(in.Secrets, peer(in.Cluster, node), dirPeer),
		},
		Mounts: []corev1.VolumeMount{{Name: name, MountPath: dirData}},
		Probe: workload.Probe{
			// A member without quorum is alive: restarting it would not bring the others back.
			Scheme: corev1.URISchemeHTTP, Port: layout.PortEtcdMetrics, Live: "/health?serializable=true", Ready: "/readyz",
		},
		CPU:     "50m",
		Memory:  "80Mi",
		AtLeast: minAllowed(in.Cluster),
	}, name), nil
}

func minAllowed(c *cluster.Cluster) corev1.ResourceList {
	config := c.Shoot.Spec.Kubernetes.ETCD
	if config == nil || config.Main == nil {
		return nil
	}
	return workload.MinAllowed(config.Main.Autoscaling)
}

func flags(c *cluster.Cluster, node cluster.Node) []string {
	ip := node.IP().String()
	client := url("https", ip, layout.PortEtcdClient)
	peer := url("https", ip, layout.PortEtcdPeer)
	return []string{
		"--name=" + node.Name,
		"--data-dir=" + path.Join(dirData, path.Base(layout.DirEtcdData)),
		"--listen-client-urls=" + url("https", "127.0.0.1", layout.PortEtcdClient) + "," + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--listen-metrics-urls=" + url("http", "127.0.0.1", layout.PortEtcdMetrics),
		"--initial-cluster=" + node.Name + "=" + peer,
		"--initial-cluster-token=" + c.EtcdToken(),
		// The data directory is made offline before the first start. With "new", a member that lost its disk
		// would come back as a cluster of its own and serve emptiness (etcd-and-recovery §2 R2).
		"--initial-cluster-state=existing",

		"--client-cert-auth=true",
		"--trusted-ca-file=" + path.Join(dirCA, workload.DataBundle),
		"--cert-file=" + path.Join(dirServer, corev1.TLSCertKey),
		"--key-file=" + path.Join(dirServer, corev1.TLSPrivateKeyKey),
		"--peer-client-cert-auth=true",
		"--peer-trusted-ca-file=" + path.Join(dirPeerCA, workload.DataBundle),
		"--peer-cert-file=" + path.Join(dirPeer, corev1.TLSCertKey),
		"--peer-key-file=" + path.Join(dirPeer, corev1.TLSPrivateKeyKey),

		// etcd-and-recovery §2. Compaction is the API server's.
		"--snapshot-count=10000",
		"--max-learners=2",
		"--feature-gates=CompactHashCheck=true",
		"--compact-hash-check-time=1m",
		"--watch-progress-notify-interval=5s",
		"--quota-backend-bytes=" + strconv.Itoa(quota),
		// The JSON gateway dials etcd with the server's certificate, which is no client's; nobody uses it.
		"--enable-grpc-gateway=false",
	}
}

func url(scheme, host string, port int) string {
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
}
