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
	if err := h.Files.MakeDir(ctx, layout.DirKubelet, host.Owner{}, 0o700); err != nil {
		return fmt.Errorf("make kubelet directory: %w", err)
	}
	if err := writeKubeletCertificate(ctx, h, node, set); err != nil {
		return fmt.Errorf("write kubelet certificate: %w", err)
	}
	config := kubeconfig.Render(kubeconfig.Config{
		Server: c.NodeServer(), TLSServerName: cluster.TLSServerName,
		CA:       set.Get(secret.AuthorityCluster, "", secret.DataCACert),
		CertFile: layout.FileKubeletCert, KeyFile: layout.FileKubeletCert,
	})
	if err := h.Files.Write(ctx, layout.FileKubeletConf, bytes.NewReader(config), 0o600); err != nil {
		return fmt.Errorf("write kubelet kubeconfig: %w", err)
	}
	return nil
}

// writeKubeletCertificate lays the certificate where kubelet's rotation looks for it: a symbolic link to a file with
// certificate and key, which kubelet replaces by a link to a newer file.
func writeKubeletCertificate(ctx context.Context, h *host.Host, node cluster.Node, set secret.Set) error {
	_, err := h.Files.Read(ctx, layout.FileKubeletCert)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pair := append(bytes.Clone(set.Get(kubeletClient, node.Name, secret.DataCert)), set.Get(kubeletClient, node.Name, secret.DataKey)...)
	file := path.Join(path.Dir(layout.FileKubeletCert), "kubelet-client-init.pem")
	if err := h.Files.Write(ctx, file, bytes.NewReader(pair), 0o600); err != nil {
		return err
	}
	return h.Files.Symlink(ctx, file, layout.FileKubeletCert)
}
