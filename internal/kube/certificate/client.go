package certificate

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/gardenadm/gardenadm/internal/secret"
)

// CheckKubelet returns the node for whose kubelet the client certificate is; the error says why the request is not for exactly that.
func CheckKubelet(request *certificatesv1.CertificateSigningRequest) (node string, err error) {
	csr, err := parse(request.Spec.Request)
	if err != nil {
		return "", err
	}
	node, ok := nodeOf(csr.Subject.CommonName)
	switch {
	case !ok || !nodeName(node):
		return "", fmt.Errorf("common name %q is not that of a node", csr.Subject.CommonName)
	case !slices.Equal(csr.Subject.Organization, []string{nodeGroup}):
		return "", fmt.Errorf("organization %q is not [%s]", csr.Subject.Organization, nodeGroup)
	}
	return node, checkClient(request, csr)
}

// errForeign says that the request is not for a node agent: others decide.
var errForeign = errors.New("the request is not for a node agent")

// CheckNodeAgent returns the node and the pool for whose agent the client certificate is; the error says why the request is not for
// exactly that. Beside Gardener's organization (contract node-agent-and-osc §6.1) there is that of the pool.
func CheckNodeAgent(request *certificatesv1.CertificateSigningRequest) (node, pool string, err error) {
	csr, err := parse(request.Spec.Request)
	if err != nil {
		return "", "", errForeign // whose it would be is not known
	}
	node, pool, err = agentOf(csr.Subject)
	if err != nil {
		return "", "", err
	}
	return node, pool, checkClient(request, csr)
}

// agentOf reads whose agent the subject is. Its error is errForeign when it is nobody's.
func agentOf(subject pkix.Name) (node, pool string, err error) {
	node, ok := strings.CutPrefix(subject.CommonName, constants.NodeAgentUserNamePrefix)
	if !ok {
		return "", "", errForeign
	}
	if !nodeName(node) {
		return "", "", fmt.Errorf("common name %q is not that of a node's agent", subject.CommonName)
	}
	for _, organization := range subject.Organization {
		if name, ok := strings.CutPrefix(organization, secret.NodeAgentPoolGroup("")); ok {
			pool = name
		}
	}
	if want := []string{constants.NodeAgentsGroup, secret.NodeAgentPoolGroup(pool)}; pool == "" || len(subject.Organization) != len(want) || !sameSet(subject.Organization, want) {
		return "", "", fmt.Errorf("organization %q is not that of node agents and of one pool of theirs", subject.Organization)
	}
	return node, pool, nil
}

// For returns the node for whose kubelet or agent the request is; false when it is for somebody else.
func For(request *certificatesv1.CertificateSigningRequest) (node string, ok bool) {
	csr, err := parse(request.Spec.Request)
	if err != nil {
		return "", false
	}
	for _, prefix := range []string{userPrefix, constants.NodeAgentUserNamePrefix} {
		if node, ok := strings.CutPrefix(csr.Subject.CommonName, prefix); ok {
			return node, true
		}
	}
	return "", false
}

func nodeName(name string) bool { return len(validation.NameIsDNSSubdomain(name, false)) == 0 }
