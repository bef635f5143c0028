package hoststep

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// ThisNode reads which node this machine is. A machine that is none is a fault.
func ThisNode(ctx context.Context, h *host.Host) (cluster.Node, error) {
	raw, err := h.Files.Read(ctx, layout.FileNode)
	if err != nil {
		return cluster.Node{}, fault.New(fault.NodeIdentity, "find out which node this is: %w", err)
	}
	node, err := dropin.DecodeNode(raw)
	if err != nil {
		return cluster.Node{}, fault.New(fault.NodeIdentity, "find out which node this is: %w", err)
	}
	return node, nil
}

// EndedCertificates are those of this node's programs that are over; authorities are left out.
func EndedCertificates(ctx context.Context, h *host.Host) []diagnosis.Certificate {
	return slices.DeleteFunc(diagnosis.Certificates(ctx, h), func(one diagnosis.Certificate) bool {
		return one.Authority || time.Now().Before(one.Expires)
	})
}

// EndedConfiguration is a file of this node's configuration whose certificate is over; "" for none.
func EndedConfiguration(ctx context.Context, h *host.Host) string {
	for _, one := range EndedCertificates(ctx, h) {
		if configured(one.Path) {
			return one.Path
		}
	}
	return ""
}

// AgentSecret is the name of the Secret with the configuration that this node's agent follows.
func AgentSecret(ctx context.Context, h *host.Host) (string, error) {
	raw, err := h.Files.Read(ctx, layout.FileAgentConfig)
	if err != nil {
		return "", fmt.Errorf("read the node agent's configuration: %w", err)
	}
	config := &nodeagentv1alpha1.NodeAgentConfiguration{}
	if err := yaml.Unmarshal(raw, config); err != nil {
		return "", fmt.Errorf("read the node agent's configuration: %w", err)
	}
	return config.Controllers.OperatingSystemConfig.SecretName, nil
}

// WaitForNewCertificates is nil once all certificates that the configuration of this node brings were issued since the time.
func WaitForNewCertificates(ctx context.Context, h *host.Host, since time.Time) error {
	var old []string
	for _, one := range diagnosis.Certificates(ctx, h) {
		if !one.Authority && configured(one.Path) && !IssuedSince(one.Begins, since) && !slices.Contains(old, one.Path) {
			old = append(old, one.Path)
		}
	}
	if len(old) > 0 {
		return fmt.Errorf("wait for new certificates: %d files still have the old ones, among them %s", len(old), old[0])
	}
	return nil
}

// IssuedSince says whether a certificate that begins then was issued since the time: certificates are dated back, because clocks differ.
func IssuedSince(begins, since time.Time) bool {
	return !begins.Add(secret.BackDate).Before(since.Truncate(time.Second))
}

// configured says whether a file is of the node's configuration: those of kubelet and node agent are not.
func configured(file string) bool {
	return !strings.HasPrefix(file, layout.DirKubelet+"/") && !strings.HasPrefix(file, layout.DirAgent+"/")
}

// ReplaceKubeletCertificate lays a client certificate and its key, both PEM, where the kubelet looks for them, and starts the kubelet
// with it; it then asks for a new serving certificate, too.
func ReplaceKubeletCertificate(ctx context.Context, h *host.Host, certificate, key []byte) error {
	dir := path.Dir(layout.FileKubeletCert)
	file := path.Join(dir, "kubelet-client-"+time.Now().UTC().Format("2006-01-02-15-04-05")+".pem")
	if err := h.Files.Write(ctx, file, bytes.NewReader(append(bytes.Clone(certificate), key...)), 0o600); err != nil {
		return fmt.Errorf("replace the kubelet's certificate: %w", err)
	}
	if err := h.Files.Symlink(ctx, file, layout.FileKubeletCert); err != nil {
		return fmt.Errorf("replace the kubelet's certificate: %w", err)
	}
	if err := h.Files.Remove(ctx, path.Join(dir, "kubelet-server-current.pem")); err != nil {
		return fmt.Errorf("replace the kubelet's certificate: %w", err)
	}
	return h.Units.Restart(ctx, layout.UnitKubelet)
}
