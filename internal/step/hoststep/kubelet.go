package hoststep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// kubeletClient is the secret of a node's first kubelet client certificate.
const kubeletClient = "kubelet-client"

// KubeletSecrets declares the kubelet's first client certificate on a node. It lives as long as the controller manager's
// (--cluster-signing-duration), and the kubelet replaces it by a request of its own.
func KubeletSecrets(node cluster.Node) []secret.Spec {
	return []secret.Spec{{
		Name: kubeletClient, Node: node.Name, Kind: secret.Client, Signer: secret.AuthorityClient,
		CommonName: "system:node:" + node.Name, Organization: []string{"system:nodes"}, ValidDays: 30,
	}}
}

// IdentifyKubelet gives the kubelet its client certificate and its kubeconfig. A certificate that is there stays:
// the kubelet may have rotated it already.
func IdentifyKubelet(ctx context.Context, h *host.Host, c *cluster.Cluster, node cluster.Node, set secret.Set) error {
	_, err := h.Files.Read(ctx, layout.FileKubeletCert)
	if errors.Is(err, fs.ErrNotExist) {
		err = WriteKubeletCertificate(ctx, h, set.Get(kubeletClient, node.Name, secret.DataCert), set.Get(kubeletClient, node.Name, secret.DataKey))
	}
	if err != nil {
		return fmt.Errorf("write kubelet certificate: %w", err)
	}
	return WriteKubeletKubeconfig(ctx, h, c.NodeServer(), set.Get(secret.AuthorityCluster, "", secret.DataCACert))
}

// WriteKubeletCertificate lays a certificate and its key, both PEM, where kubelet's rotation looks for them: a symbolic link to a file
// with both, which kubelet replaces by a link to a newer file.
func WriteKubeletCertificate(ctx context.Context, h *host.Host, certificate, key []byte) error {
	if err := h.Files.MakeDir(ctx, layout.DirKubelet, host.Owner{}, 0o700); err != nil {
		return fmt.Errorf("make kubelet directory: %w", err)
	}
	file := path.Join(path.Dir(layout.FileKubeletCert), "kubelet-client-init.pem")
	if err := h.Files.Write(ctx, file, bytes.NewReader(append(bytes.Clone(certificate), key...)), 0o600); err != nil {
		return err
	}
	return h.Files.Symlink(ctx, file, layout.FileKubeletCert)
}

// WriteKubeletKubeconfig writes the kubelet's kubeconfig: the URL of the API server, its authority as PEM, and the file with the
// kubelet's certificate.
func WriteKubeletKubeconfig(ctx context.Context, h *host.Host, server string, authority []byte) error {
	config := kubeconfig.Render(kubeconfig.Config{
		Server: server, TLSServerName: cluster.TLSServerName, CA: authority,
		CertFile: layout.FileKubeletCert, KeyFile: layout.FileKubeletCert,
	})
	if err := h.Files.Write(ctx, layout.FileKubeletConf, bytes.NewReader(config), 0o600); err != nil {
		return fmt.Errorf("write kubelet kubeconfig: %w", err)
	}
	return nil
}
