package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	// ErrNoRequest says that the node has not asked for a serving certificate yet.
	ErrNoRequest = errors.New("the kubelet has not asked for a serving certificate yet")

	// errOtherNames says that the request is not for the node's addresses. Both change: it may be so for a moment only.
	errOtherNames = errors.New("the names in the request are not the node's")
)

// CheckServing is nil when the request is for the serving certificate of exactly this node and nothing else (contract resource-manager §6).
func CheckServing(request *certificatesv1.CertificateSigningRequest, node *corev1.Node) error {
	csr, err := parse(request.Spec.Request)
	if err != nil {
		return err
	}
	switch {
	case !strings.HasPrefix(request.Spec.Username, userPrefix):
		return fmt.Errorf("user %q is not a node", request.Spec.Username)
	case request.Spec.Username != userPrefix+node.Name:
		return fmt.Errorf("user %q is not node %q", request.Spec.Username, node.Name)
	case csr.Subject.CommonName != request.Spec.Username:
		return fmt.Errorf("common name %q is not the user %q", csr.Subject.CommonName, request.Spec.Username)
	case !slices.Equal(csr.Subject.Organization, []string{nodeGroup}):
		return fmt.Errorf("organization %q is not [%s]", csr.Subject.Organization, nodeGroup)
	case len(csr.DNSNames)+len(csr.IPAddresses) == 0:
		return errors.New("there is no subject alternative name")
	case len(csr.EmailAddresses)+len(csr.URIs) > 0:
		return errors.New("there are subject alternative names that are neither host names nor addresses")
	}
	if err := checkUsages(request.Spec.Usages, certificatesv1.UsageServerAuth); err != nil {
		return err
	}
	return checkNames(csr, node)
}

func checkNames(csr *x509.CertificateRequest, node *corev1.Node) error {
	var names, addresses, ips []string
	for _, address := range node.Status.Addresses {
		switch address.Type {
		case corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeExternalDNS:
			names = append(names, address.Address)
		case corev1.NodeInternalIP, corev1.NodeExternalIP:
			addresses = append(addresses, address.Address)
		}
	}
	for _, ip := range csr.IPAddresses {
		ips = append(ips, ip.String())
	}
	if !sameSet(csr.DNSNames, names) {
		return fmt.Errorf("%w: host names %q are not the node's %q", errOtherNames, csr.DNSNames, names)
	}
	if !sameSet(ips, addresses) {
		return fmt.Errorf("%w: addresses %q are not the node's %q", errOtherNames, ips, addresses)
	}
	return nil
}

// ServingIssued is nil once the node's kubelet has a serving certificate and no request for one is open; its error says what is missing.
func ServingIssued(ctx context.Context, api client.Reader, nodeName string) error {
	list := &certificatesv1.CertificateSigningRequestList{}
	if err := api.List(ctx, list); err != nil {
		return fmt.Errorf("list certificate requests: %w", err)
	}
	missing, issued := ErrNoRequest, false
	for i := range list.Items {
		request := &list.Items[i]
		if request.Spec.SignerName != certificatesv1.KubeletServingSignerName || request.Spec.Username != userPrefix+nodeName {
			continue
		}
		switch {
		case len(request.Status.Certificate) > 0:
			issued = true
		case Open(request): // also beside an issued one: the kubelet may have lost its key since
			return fmt.Errorf("the gardenlet has not decided on request %s yet (gardenadm logs gardenlet)", request.Name)
		default:
			missing = undone(request)
		}
	}
	if issued {
		return nil
	}
	return missing
}

// undone says why a request that was decided has no certificate.
func undone(request *certificatesv1.CertificateSigningRequest) error {
	for _, condition := range request.Status.Conditions {
		if condition.Type != certificatesv1.CertificateApproved {
			return fmt.Errorf("request %s is %s: %s", request.Name, strings.ToLower(string(condition.Type)), condition.Message)
		}
	}
	return fmt.Errorf("request %s is approved and not signed yet", request.Name)
}
