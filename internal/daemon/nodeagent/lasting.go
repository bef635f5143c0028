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

// renewHere makes new certificates in the place of those that have expired or are lost, with the authority that a control plane node
// has. It is false on a worker.
func (c *certificates) renewHere(ctx context.Context, agent, kubelet bool) (bool, error) {
	authority, err := c.clientAuthority(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the authority of clients: %w", err)
	}
	if agent {
		fresh, err := issueHere(ctx, authority, hoststep.AgentSecrets(c.node))
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
		fresh, err := issueHere(ctx, authority, hoststep.KubeletSecrets(c.node))
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
	c.Log.Info("certificates of this node have expired or are lost, and are renewed by the authority on it", "agent", agent, "kubelet", kubelet)
	return true, nil
}

// clientAuthority is fs.ErrNotExist on a worker.
func (c *certificates) clientAuthority(ctx context.Context) (out secret.Secret, err error) {
	out.Spec, out.Data = secret.Authority(secret.AuthorityClient), map[string][]byte{}
	file := path.Join(layout.DirAuthorities, secret.AuthorityClient)
	if out.Data[secret.DataCACert], err = c.Host.Files.Read(ctx, file+".crt"); err == nil {
		out.Data[secret.DataCAKey], err = c.Host.Files.Read(ctx, file+".key")
	}
	return out, err
}

// issueHere returns a certificate and its key as PEM, in one piece, with a new key: the old one may be lost.
func issueHere(ctx context.Context, authority secret.Secret, specs []secret.Spec) ([]byte, error) {
	store := &secret.Memory{}
	if err := store.Save(ctx, authority); err != nil {
		return nil, err
	}
	set, err := secret.Issuer{Store: store}.Ensure(ctx, append([]secret.Spec{authority.Spec}, specs...))
	if err != nil {
		return nil, err
	}
	of := specs[0]
	return append(set.Get(of.Name, of.Node, secret.DataCert), set.Get(of.Name, of.Node, secret.DataKey)...), nil
}
