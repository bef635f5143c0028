package certificate_test

import (
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

// FuzzRequest: whatever a request holds, what is accepted names a node, and a pool where it is an agent's.
func FuzzRequest(f *testing.F) {
	for _, seed := range []*asked{honest(), kubelet("node01"), agent("open00")} {
		f.Add(seed.request(f, "csr-1").Spec.Request)
	}
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		request := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: raw, Username: user, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		}}
		if node, err := certificate.CheckKubelet(request); err == nil && (node == "" || strings.ToLower(node) != node) {
			t.Errorf("kubelet of node %q", node)
		}
		if node, pool, err := certificate.CheckNodeAgent(request); err == nil && (node == "" || pool == "") {
			t.Errorf("agent of node %q in pool %q", node, pool)
		}
		_ = certificate.CheckServing(request, plain())
	})
}
