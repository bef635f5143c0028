// Package certificate turns a kubelet's request for a serving certificate into an approval or a denial.
// Used by the API steps of init, and later by the gardenlet.
package certificate

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// ErrNoRequest says that the node has not asked for a serving certificate yet.
var ErrNoRequest = errors.New("the kubelet has not asked for a serving certificate yet")

// Check is nil when the request is for the serving certificate of exactly this node and nothing else (contract resource-manager §6).
func Check(request *certificatesv1.CertificateSigningRequest, node *corev1.Node) error {
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
	if err := checkUsages(request.Spec.Usages); err != nil {
		return err
	}
	return checkNames(csr, node)
}

// checkUsages allows what kube-controller-manager's kubelet-serving signer would sign.
func checkUsages(usages []certificatesv1.KeyUsage) error {
	allowed := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageServerAuth}
	for _, usage := range usages {
		if !slices.Contains(allowed, usage) {
			return fmt.Errorf("usage %q is not for serving", usage)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageServerAuth) {
		return errors.New("usage server auth is missing")
	}
	return nil
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
		return fmt.Errorf("host names %q are not the node's %q", csr.DNSNames, names)
	}
	if !sameSet(ips, addresses) {
		return fmt.Errorf("addresses %q are not the node's %q", ips, addresses)
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b)))
	return slices.Equal(a, b)
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

// ApproveServing decides the open requests of the node's kubelet for a serving certificate and is nil once one of them is issued and none is open.
// A request that does not pass Check is denied, and the reason is returned.
func ApproveServing(ctx context.Context, api client.Client, nodeName string) error {
	node := &corev1.Node{}
	if err := api.Get(ctx, client.ObjectKey{Name: nodeName}, node); err != nil {
		return fmt.Errorf("get Node %s: %w", nodeName, err)
	}
	list := &certificatesv1.CertificateSigningRequestList{}
	if err := api.List(ctx, list); err != nil {
		return fmt.Errorf("list certificate requests: %w", err)
	}
	var open []error
	waiting, issued := ErrNoRequest, false
	for i := range list.Items {
		request := &list.Items[i]
		if request.Spec.SignerName != certificatesv1.KubeletServingSignerName || request.Spec.Username != userPrefix+nodeName {
			continue
		}
		// An issued one may be of a kubelet that has lost its key since: the open ones are decided all the same.
		if len(request.Status.Certificate) > 0 {
			issued = true
		} else if err := decided(request); err != nil {
			waiting = err
		} else {
			open = append(open, decide(ctx, api, request, node))
		}
	}
	switch {
	case len(open) > 0:
		return errors.Join(open...)
	case issued:
		return nil
	}
	return waiting
}

// decided says how a request was decided that has no certificate; nil when it is open.
func decided(request *certificatesv1.CertificateSigningRequest) error {
	for _, condition := range request.Status.Conditions {
		switch condition.Type {
		case certificatesv1.CertificateDenied:
			return fmt.Errorf("request %s was denied: %s", request.Name, condition.Message)
		case certificatesv1.CertificateApproved:
			return fmt.Errorf("request %s is approved and not signed yet", request.Name)
		}
	}
	return nil
}

// decide approves or denies one request; its error says what is still missing until the certificate is issued.
func decide(ctx context.Context, api client.Client, request *certificatesv1.CertificateSigningRequest, node *corev1.Node) error {
	condition := certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, LastUpdateTime: metav1.Now(),
		Reason: ReasonApproved, Message: "gardenadm checked that the request is for this node's serving certificate",
	}
	checkErr := Check(request, node)
	if checkErr != nil {
		condition.Type, condition.Reason, condition.Message = certificatesv1.CertificateDenied, ReasonDenied, checkErr.Error()
	}
	request.Status.Conditions = append(request.Status.Conditions, condition)
	if err := api.SubResource("approval").Update(ctx, request); err != nil {
		return fmt.Errorf("update approval of request %s: %w", request.Name, err)
	}
	if checkErr != nil {
		return fmt.Errorf("deny request %s: %w", request.Name, checkErr)
	}
	return fmt.Errorf("request %s is approved and not signed yet", request.Name)
}
