package nodeagent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"path"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	certificatesEvery = time.Minute
	// A certificate is renewed at this share of its life, and up to renewSpread later: nodes that joined together do not ask together.
	renewAt     = 0.8
	renewSpread = 0.1
	// issueTimeout is how long the cluster may take to decide and to sign.
	issueTimeout = 2 * time.Minute
)

// certificates keeps the agent's client certificate valid, and the kubelet's when it expired: while it is valid, the kubelet renews it
// itself.
type certificates struct {
	*daemon
	share float64
	// Keys are kept until their certificates are there: the same request is gone on with.
	agent, kubelet *ecdsa.PrivateKey
}

func (d *daemon) keepCertificates(ctx context.Context) error {
	c := &certificates{daemon: d, share: renewAt + renewSpread*mathrand.Float64()}
	tries := retry{first: 5 * time.Second, last: 5 * time.Minute}
	every(ctx, func(ctx context.Context) time.Duration {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			return tries.failed(c.Log, "the node's certificates cannot be renewed", err)
		}
		tries.succeeded()
		return jitter(certificatesEvery)
	})
	return nil
}

func (c *certificates) look(ctx context.Context) error {
	// Somebody else may have brought another one: init or join that was run again.
	if pair, err := readPair(ctx, c.Options, layout.FileAgentCert); err == nil {
		c.identity.replace(pair)
	}
	kubelet, problem := c.kubeletLost(ctx)
	leaf, now := c.identity.current().Leaf, time.Now()
	agent := now.After(leaf.NotAfter) || c.early(ctx, leaf)
	switch {
	case agent || kubelet:
		return errors.Join(problem, c.recover(ctx, agent, kubelet))
	case now.After(leaf.NotBefore.Add(time.Duration(float64(leaf.NotAfter.Sub(leaf.NotBefore)) * c.share))):
		return errors.Join(problem, c.renewAgent(ctx, c.api))
	}
	return problem
}

// kubeletLost says that the kubelet cannot help itself: its certificate has ended, is missing or damaged. init and join lay the first one
// before the agent starts.
func (c *certificates) kubeletLost(ctx context.Context) (bool, error) {
	raw, err := c.Host.Files.Read(ctx, layout.FileKubeletCert)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return true, nil // a power cut may leave half of one
	}
	return time.Now().After(pair.Leaf.NotAfter) || c.early(ctx, pair.Leaf), nil
}

// early says of a control plane node's certificate that it was issued while the clock was ahead, and is refused now. A clock that is
// behind is another matter: it is before the authority's time, or will soon be right.
func (c *certificates) early(ctx context.Context, leaf *x509.Certificate) bool {
	if !time.Now().Before(leaf.NotBefore) {
		return false
	}
	authority, err := c.clientAuthority(ctx)
	if err != nil {
		return false // a worker's
	}
	block, _ := pem.Decode(authority.Data[secret.DataCACert])
	if block == nil {
		return false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	return err == nil && time.Now().After(certificate.NotBefore)
}

// recover asks a control plane node for a token, and the API for certificates with it.
func (c *certificates) recover(ctx context.Context, agent, kubelet bool) error {
	if done, err := c.renewHere(ctx, agent, kubelet); done || err != nil {
		return err
	}
	c.Log.Info("certificates have expired or are lost", "agent", agent, "kubelet", kubelet)
	token, err := c.Renewal(ctx)
	if err != nil {
		return err
	}
	api, err := c.apiOf(token)
	if err != nil {
		return err
	}
	if agent {
		if err := c.renewAgent(ctx, api); err != nil {
			return err
		}
	}
	if kubelet {
		return c.renewKubelet(ctx, api)
	}
	return nil
}

func (c *certificates) renewAgent(ctx context.Context, api client.Client) error {
	raw, err := issue(ctx, api, certificate.NodeAgentOrder(c.node.Name, c.node.Pool), &c.agent)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return fmt.Errorf("read the new certificate: %w", err)
	}
	if err := c.Host.Files.Write(ctx, layout.FileAgentCert, bytes.NewReader(raw), 0o600); err != nil {
		return fmt.Errorf("keep the new certificate: %w", err)
	}
	c.agent = nil
	c.identity.replace(&pair)
	c.events.normal("CertificateRenewed", "the node agent's certificate is valid until "+pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	return nil
}

// renewKubelet lays the certificate where the kubelet's rotation looks for it, and starts the kubelet with it.
func (c *certificates) renewKubelet(ctx context.Context, api client.Client) error {
	raw, err := issue(ctx, api, certificate.KubeletOrder(c.node.Name), &c.kubelet)
	if err != nil {
		return err
	}
	c.hands.Lock()
	defer c.hands.Unlock()
	file := path.Join(path.Dir(layout.FileKubeletCert), "kubelet-client-"+time.Now().UTC().Format("2006-01-02-15-04-05")+".pem")
	if err := c.Host.Files.Write(ctx, file, bytes.NewReader(raw), 0o600); err != nil {
		return fmt.Errorf("keep the kubelet's new certificate: %w", err)
	}
	if err := c.Host.Files.Symlink(ctx, file, layout.FileKubeletCert); err != nil {
		return fmt.Errorf("keep the kubelet's new certificate: %w", err)
	}
	c.kubelet = nil
	c.events.normal("CertificateRenewed", "the kubelet's certificate had expired or was lost, and is renewed")
	return c.restart(ctx, layout.UnitKubelet)
}

// issue returns the certificate and its key as PEM, in one piece. The key is made when there is none.
func issue(ctx context.Context, api client.Client, order certificate.Order, key **ecdsa.PrivateKey) ([]byte, error) {
	if *key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		*key = made
	}
	der, err := x509.MarshalECPrivateKey(*key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	issued, err := certificate.Issue(ctx, api, order, *key)
	if err != nil {
		return nil, err
	}
	return append(issued, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...), nil
}
