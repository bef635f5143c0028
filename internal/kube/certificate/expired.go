package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
)

const (
	// maxExpired is how long after its end a certificate still says who its owner was: a year, and time to notice.
	maxExpired = 400 * 24 * time.Hour
	// maxOlder is how much older than its Node a certificate may seem: init issues the first node's before there is a Node, and
	// certificates begin an hour before they are issued.
	maxOlder = 2 * time.Hour
	// maxAhead is how far the clock of whoever issued the certificate may have been ahead of ours.
	maxAhead = 5 * time.Minute
)

// NodeAgentOf returns the node and the pool of the node agent that the certificate was issued to, by one of the authorities. That it has
// expired does not count, up to 400 days: whoever has its key is who had it then.
func NodeAgentOf(certificate *x509.Certificate, authorities *x509.CertPool, now time.Time) (node, pool string, err error) {
	switch {
	case now.After(certificate.NotAfter.Add(maxExpired)):
		return "", "", fmt.Errorf("the certificate expired on %s, too long ago", certificate.NotAfter.UTC().Format(time.DateOnly))
	case certificate.NotBefore.After(now.Add(maxAhead)):
		return "", "", fmt.Errorf("the certificate is not valid before %s", certificate.NotBefore.UTC().Format(time.RFC3339))
	}
	_, err = certificate.Verify(x509.VerifyOptions{
		Roots: authorities, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: certificate.NotAfter.Add(-time.Second),
	})
	if err != nil {
		return "", "", fmt.Errorf("the certificate is not one of this cluster's clients: %w", err)
	}
	return agentOf(certificate.Subject)
}

// CheckRenewal is nil when a node agent of the pool, with this certificate, is the agent of this Node, and not of an earlier one
// of its name.
func CheckRenewal(certificate *x509.Certificate, pool string, node *corev1.Node) error {
	switch {
	case Leaving(node) || node.DeletionTimestamp != nil:
		return fmt.Errorf("node %s is about to leave", node.Name)
	case node.Labels[constants.LabelWorkerPool] != pool:
		return fmt.Errorf("the certificate is for pool %s, Node %s is in pool %q", pool, node.Name, node.Labels[constants.LabelWorkerPool])
	case certificate.NotBefore.Before(node.CreationTimestamp.Add(-maxOlder)):
		return errors.New("the certificate is older than the Node: it is that of a node that was removed")
	}
	return nil
}
