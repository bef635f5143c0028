package apiserver

import (
	"fmt"
	"net"
	"path"
	"strconv"

	gardencore "github.com/gardener/gardener/pkg/apis/core/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/workload"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// flags follows contract control-plane §3; what is not said here is the API server's default.
func flags(c *cluster.Cluster, node cluster.Node) []string {
	out := []string{
		"--allow-privileged=true",
		authorizationFlag(settings(c)),
		"--authentication-config=" + path.Join(dirAuthentication, fileAuthentication),
		"--enable-bootstrap-token-auth=true",
		"--encryption-provider-config=" + path.Join(dirEncryption, fileEncryption),
		"--endpoint-reconciler-type=none", // the endpoints of default/kubernetes are ours, see endpoints.go
		"--http2-max-streams-per-connection=1000",
		"--profiling=false",
		"--service-cluster-ip-range=" + cluster.Join(c.Services),
		// Watches are ended when the server ends. Otherwise it waits for them a minute, and a kubelet that replaces etcd's pod waits for it.
		"--shutdown-watch-termination-grace-period=3s",
	}
	if c.ControlPlane.Worker.Maximum > 1 {
		// Time for the endpoint proxies to see that this API server is leaving, and now and then a client that is sent away, so that
		// one that comes back gets its share. Where there is no other, that would only make every restart longer and break connections.
		out = append(out, "--shutdown-delay-duration=10s", "--goaway-chance=0.001")
	}
	for _, more := range [][]string{
		addresses(c, node), etcdFlags(), clientFlags(), auditFlags(), serviceAccountFlags(c), shootFlags(settings(c)),
	} {
		out = append(out, more...)
	}
	return out
}

func addresses(c *cluster.Cluster, node cluster.Node) []string {
	bind := "0.0.0.0"
	if node.IP().Is6() {
		bind = "::"
	}
	return []string{
		// Explicit: without a default route the API server would find none and exit.
		"--advertise-address=" + node.IP().String(),
		"--bind-address=" + bind,
		"--secure-port=" + strconv.Itoa(cluster.APIServerPort),
		"--external-hostname=" + c.APIDomain(),
		"--tls-cert-file=" + path.Join(dirServer, corev1.TLSCertKey),
		"--tls-private-key-file=" + path.Join(dirServer, corev1.TLSPrivateKeyKey),
	}
}

// etcdFlags: only the member beside it, so that an API server is as available as its own node.
func etcdFlags() []string {
	return []string{
		"--etcd-servers=https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(layout.PortEtcdClient)),
		"--etcd-cafile=" + path.Join(dirEtcdCA, workload.DataBundle),
		"--etcd-certfile=" + path.Join(dirEtcdClient, corev1.TLSCertKey),
		"--etcd-keyfile=" + path.Join(dirEtcdClient, corev1.TLSPrivateKeyKey),
	}
}

// clientFlags say whom the API server trusts, and as whom it goes to kubelets and extension API servers.
func clientFlags() []string {
	return []string{
		"--client-ca-file=" + path.Join(dirClientCA, workload.DataBundle),
		"--enable-aggregator-routing=true",
		"--kubelet-certificate-authority=" + path.Join(dirKubeletCA, workload.DataBundle),
		"--kubelet-client-certificate=" + path.Join(dirKubelet, corev1.TLSCertKey),
		"--kubelet-client-key=" + path.Join(dirKubelet, corev1.TLSPrivateKeyKey),
		"--kubelet-preferred-address-types=InternalIP,Hostname,ExternalIP",
		"--proxy-client-cert-file=" + path.Join(dirAggregator, corev1.TLSCertKey),
		"--proxy-client-key-file=" + path.Join(dirAggregator, corev1.TLSPrivateKeyKey),
		"--requestheader-allowed-names=" + secret.Aggregator().CommonName,
		"--requestheader-client-ca-file=" + path.Join(dirFrontProxyCA, workload.DataBundle),
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
	}
}

// auditFlags bound the log to six files of 50 MB and 30 days.
func auditFlags() []string {
	return []string{
		"--audit-policy-file=" + path.Join(dirAuditPolicy, fileAuditPolicy),
		"--audit-log-path=" + path.Join(dirAuditLog, "audit.log"),
		"--audit-log-maxsize=50",
		"--audit-log-maxbackup=5",
		"--audit-log-maxage=30",
	}
}

func serviceAccountFlags(c *cluster.Cluster) []string {
	var out []string
	for _, issuer := range issuers(c) {
		out = append(out, "--service-account-issuer="+issuer)
	}
	if config := settings(c).ServiceAccountConfig; config != nil {
		out = append(out, workload.Optional("service-account-extend-token-expiration", config.ExtendTokenExpiration)...)
		if config.MaxTokenExpiration != nil {
			out = append(out, fmt.Sprintf("--service-account-max-token-expiration=%s", config.MaxTokenExpiration.Duration))
		}
	}
	return append(out,
		"--service-account-key-file="+path.Join(dirServiceAccount, secret.DataSigningPub),
		"--service-account-signing-key-file="+path.Join(dirServiceAccount, secret.DataSigningKey),
	)
}

// issuers of service account tokens: the first one signs, the others are only accepted.
func issuers(c *cluster.Cluster) []string {
	config := ptr.Deref(settings(c).ServiceAccountConfig, gardencore.ServiceAccountConfig{})
	return append([]string{ptr.Deref(config.Issuer, "https://"+c.APIDomain())}, config.AcceptedIssuers...)
}
