// Package certificate turns requests for certificates of nodes into approvals and denials (contract resource-manager §6).
// Used by the gardenlet, which decides, and by the steps that wait for a decision.
package certificate

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	userPrefix = "system:node:"
	nodeGroup  = "system:nodes"
)

// Reasons in the request's condition (contract resource-manager §6).
const (
	ReasonApproved = "RequestApproved"
	ReasonDenied   = "RequestDenied"
)

// Annotations of a Node.
const (
	// AnnotationApplied is the checksum of the configuration that the node's agent has applied (contract node-agent-and-osc §6.3).
	AnnotationApplied = "checksum/cloud-config-data"
	// AnnotationLeaving is "true" on a Node that is about to leave the cluster.
	AnnotationLeaving = "node.gardenadm.dev/leaving"
)

// Leaving says that the node is about to leave the cluster: its agent gets no certificate any more.
func Leaving(node *corev1.Node) bool { return node.Annotations[AnnotationLeaving] == "true" }

// Open says that nobody has decided on the request yet.
func Open(request *certificatesv1.CertificateSigningRequest) bool {
	return len(request.Status.Certificate) == 0 && len(request.Status.Conditions) == 0
}

func parse(raw []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("there is no PEM certificate request")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate request: %w", err)
	}
	return csr, csr.CheckSignature()
}

// checkUsages wants the given usage and allows those that go with it, as kube-controller-manager's signers do:
// key encipherment is for RSA keys alone.
func checkUsages(usages []certificatesv1.KeyUsage, wanted certificatesv1.KeyUsage) error {
	allowed := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, wanted}
	for _, usage := range usages {
		if !slices.Contains(allowed, usage) {
			return fmt.Errorf("usage %q is not one of %q", usage, allowed)
		}
	}
	if !slices.Contains(usages, wanted) {
		return fmt.Errorf("usage %s is missing", wanted)
	}
	return nil
}

// checkClient is what the certificates of all clients have in common.
func checkClient(request *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses)+len(csr.URIs) > 0 {
		return errors.New("a client certificate has no subject alternative names")
	}
	return checkUsages(request.Spec.Usages, certificatesv1.UsageClientAuth)
}

func sameSet(a, b []string) bool {
	a, b = slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b)))
	return slices.Equal(a, b)
}

// nodeOf is the node's name in the user name of a kubelet.
func nodeOf(user string) (name string, ok bool) {
	name, ok = strings.CutPrefix(user, userPrefix)
	return name, ok && name != ""
}
