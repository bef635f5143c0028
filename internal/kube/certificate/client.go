package certificate

import (
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
	node, ok := strings.CutPrefix(csr.Subject.CommonName, constants.NodeAgentUserNamePrefix)
	if !ok {
		return "", "", errForeign
	}
	if !nodeName(node) {
		return "", "", fmt.Errorf("common name %q is not that of a node's agent", csr.Subject.CommonName)
	}
	for _, organization := range csr.Subject.Organization {
		if name, ok := strings.CutPrefix(organization, secret.NodeAgentPoolGroup("")); ok {
			pool = name
		}
	}
	if want := []string{constants.NodeAgentsGroup, secret.NodeAgentPoolGroup(pool)}; pool == "" || len(csr.Subject.Organization) != len(want) || !sameSet(csr.Subject.Organization, want) {
		return "", "", fmt.Errorf("organization %q is not that of node agents and of one pool of theirs", csr.Subject.Organization)
	}
	return node, pool, checkClient(request, csr)
}

func nodeName(name string) bool { return len(validation.NameIsDNSSubdomain(name, false)) == 0 }
