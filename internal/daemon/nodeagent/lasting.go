package nodeagent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/render/renewal"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// lasting is the configuration with new certificates in the place of those that have ended. The gardenlet renews them long before, if
// there is an API; a control plane node that was off for so long makes its own, or no API server would come up again.
func (d *daemon) lasting(config *extensionsv1alpha1.OperatingSystemConfig) *extensionsv1alpha1.OperatingSystemConfig {
	out, err := renewal.Apply(config, time.Now())
	if err != nil {
		d.Log.Warn("certificates of the configuration cannot be renewed here", "error", err)
	}
	if out != config {
		d.Log.Info("certificates of the configuration have ended: this node makes new ones, until the cluster publishes others")
	}
	return out
}

// renewHere makes new certificates in the place of those that have expired, for the same keys, with the authority that a control plane
// node has. It is false on a worker.
func (c *certificates) renewHere(ctx context.Context, agent, kubelet bool) (bool, error) {
	authority, err := c.clientAuthority(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the authority of clients: %w", err)
	}
	if agent {
		fresh, err := c.renewFile(ctx, layout.FileAgentCert, authority)
		if err != nil {
			return false, err
		}
		pair, err := tls.X509KeyPair(fresh, fresh)
		if err != nil {
			return false, fmt.Errorf("read the new certificate: %w", err)
		}
		if err := c.Host.Files.Write(ctx, layout.FileAgentCert, bytes.NewReader(fresh), 0o600); err != nil {
			return false, fmt.Errorf("keep the new certificate: %w", err)
		}
		c.identity.replace(&pair)
	}
	if kubelet {
		// A kubelet that starts before its manifests have changed, and before there is an API, does not take the change (GA-3047).
		if old := hoststep.EndedConfiguration(ctx, c.Host); old != "" {
			return false, fmt.Errorf("renew %s: %s comes first", layout.FileKubeletCert, old)
		}
		fresh, err := c.renewFile(ctx, layout.FileKubeletCert, authority)
		if err != nil {
			return false, err
		}
		c.hands.Lock()
		defer c.hands.Unlock()
		err = within(ctx, changeTimeout, func(ctx context.Context) error { return hoststep.ReplaceKubeletCertificate(ctx, c.Host, fresh, nil) })
		if err != nil {
			return false, err
		}
	}
	c.Log.Info("certificates of this node have expired, and are renewed by the authority on it", "agent", agent, "kubelet", kubelet)
	return true, nil
}

func (c *certificates) clientAuthority(ctx context.Context) (secret.Signer, error) {
	file := path.Join(layout.DirAuthorities, secret.AuthorityClient)
	cert, err := c.Host.Files.Read(ctx, file+".crt")
	if err != nil {
		return secret.Signer{}, err
	}
	key, err := c.Host.Files.Read(ctx, file+".key")
	if err != nil {
		return secret.Signer{}, err
	}
	return secret.NewSigner(cert, key)
}

// renewFile returns the file's content with a new certificate.
func (c *certificates) renewFile(ctx context.Context, file string, authority secret.Signer) ([]byte, error) {
	old, err := c.Host.Files.Read(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("renew %s: %w", file, err)
	}
	fresh, err := renewal.Text(string(old), []secret.Signer{authority}, time.Now())
	if err == nil && fresh == string(old) {
		err = errors.New("its certificate is not of the authority on this node")
	}
	if err != nil {
		return nil, fmt.Errorf("renew %s: %w", file, err)
	}
	return []byte(fresh), nil
}
