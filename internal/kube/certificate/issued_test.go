package certificate_test

import (
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

func decided(request *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType, message string) *certificatesv1.CertificateSigningRequest {
	request.Status.Conditions = append(request.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: kind, Status: corev1.ConditionTrue, Message: message, LastUpdateTime: metav1.Unix(1, 0)})
	return request
}

func issued(request *certificatesv1.CertificateSigningRequest) *certificatesv1.CertificateSigningRequest {
	request.Status.Certificate = []byte("PEM")
	return decided(request, certificatesv1.CertificateApproved, "")
}

func TestServingIssued(t *testing.T) {
	other := honest()
	other.user, other.csr.Subject.CommonName = "system:node:machine-1", "system:node:machine-1"
	foreign := issued(honest().request(t, "csr-foreign"))
	foreign.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
	failed := decided(decided(honest().request(t, "csr-1"), certificatesv1.CertificateApproved, ""), certificatesv1.CertificateFailed, "no authority")

	const open = "the gardenlet has not decided on request csr-1 yet"
	for name, c := range map[string]struct {
		requests []client.Object
		want     string // the error, "" for none
	}{
		"nothing was asked for":            {nil, certificate.ErrNoRequest.Error()},
		"an open request":                  {[]client.Object{honest().request(t, "csr-1")}, open},
		"an approved request":              {[]client.Object{decided(honest().request(t, "csr-1"), certificatesv1.CertificateApproved, "")}, "request csr-1 is approved and not signed yet"},
		"a denied request tells why":       {[]client.Object{decided(honest().request(t, "csr-1"), certificatesv1.CertificateDenied, "because")}, "request csr-1 is denied: because"},
		"a failed one, too":                {[]client.Object{failed}, "request csr-1 is failed: no authority"},
		"an issued request is the end":     {[]client.Object{issued(honest().request(t, "csr-1"))}, ""},
		"another node's does not count":    {[]client.Object{issued(other.request(t, "csr-other"))}, certificate.ErrNoRequest.Error()},
		"another signer's does not count":  {[]client.Object{foreign}, certificate.ErrNoRequest.Error()},
		"denied once, issued in the end":   {[]client.Object{decided(honest().request(t, "csr-0"), certificatesv1.CertificateDenied, "because"), issued(honest().request(t, "csr-1"))}, ""},
		"issued once, denied in the end":   {[]client.Object{issued(honest().request(t, "csr-0")), decided(honest().request(t, "csr-1"), certificatesv1.CertificateDenied, "because")}, ""},
		"an open one beside an issued one": {[]client.Object{issued(honest().request(t, "csr-0")), honest().request(t, "csr-1")}, open},
	} {
		err := certificate.ServingIssued(t.Context(), newAPI(t, c.requests...), "machine-0")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
