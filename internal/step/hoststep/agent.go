package hoststep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/render/kubeconfig"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// agentClient is the secret of a node agent's first client certificate.
const agentClient = "node-agent-client"

// AgentSecrets declares the node agent's first client certificate on a node (contract node-agent-and-osc §6.1). It lives 30 days, and
// the agent replaces it by a request of its own.
func AgentSecrets(node cluster.Node) []secret.Spec {
	return []secret.Spec{{
		Name: agentClient, Node: node.Name, Kind: secret.Client, Signer: secret.AuthorityClient, ValidDays: 30,
		CommonName:   constants.NodeAgentUserNamePrefix + node.Name,
		Organization: []string{constants.NodeAgentsGroup, secret.NodeAgentPoolGroup(node.Pool)},
	}}
}

// IdentifyAgent gives the node agent its client certificate and its kubeconfig. A certificate that is there stays:
// the agent may have renewed it already.
func IdentifyAgent(ctx context.Context, h *host.Host, c *cluster.Cluster, node cluster.Node, set secret.Set) error {
	_, err := h.Files.Read(ctx, layout.FileAgentCert)
	if errors.Is(err, fs.ErrNotExist) {
		err = WriteAgentCertificate(ctx, h, set.Get(agentClient, node.Name, secret.DataCert), set.Get(agentClient, node.Name, secret.DataKey))
	}
	if err != nil {
		return fmt.Errorf("write node agent's certificate: %w", err)
	}
	return WriteAgentKubeconfig(ctx, h, c.NodeServer(), set.Get(secret.AuthorityCluster, "", secret.DataCACert))
}

// WriteAgentCertificate lays a certificate and its key, both PEM, where the node agent looks for them.
func WriteAgentCertificate(ctx context.Context, h *host.Host, certificate, key []byte) error {
	if err := h.Files.MakeDir(ctx, layout.DirAgentCredentials, host.Owner{}, 0o700); err != nil {
		return err
	}
	return h.Files.Write(ctx, layout.FileAgentCert, bytes.NewReader(append(bytes.Clone(certificate), key...)), 0o600)
}

// WriteAgentKubeconfig writes the node agent's kubeconfig: the URL of the API server, its authority as PEM, and the file with the
// agent's certificate.
func WriteAgentKubeconfig(ctx context.Context, h *host.Host, server string, authority []byte) error {
	config := kubeconfig.Render(kubeconfig.Config{
		Server: server, TLSServerName: cluster.TLSServerName, CA: authority,
		CertFile: layout.FileAgentCert, KeyFile: layout.FileAgentCert,
	})
	if err := h.Files.Write(ctx, layout.FileAgentKubeconfig, bytes.NewReader(config), 0o600); err != nil {
		return fmt.Errorf("write node agent's kubeconfig: %w", err)
	}
	return nil
}
