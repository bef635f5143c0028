package certificate_test

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

const (
	user  = "system:node:machine-0"
	ip    = "192.0.2.10"
	extIP = "203.0.113.10"
	six   = "2001:db8::a"
)

// asked is a kubelet's request before it is encoded, for a test to spoil.
type asked struct {
	user   string
	groups []string
	signer string // "" for that of serving certificates
	usages []certificatesv1.KeyUsage
	csr    x509.CertificateRequest
	raw    func([]byte) []byte // what becomes of the signed DER; nil for PEM
	// created counts where a request may be ahead of its Node.
	created time.Time
}

// honest is the request of machine-0's kubelet.
func honest() *asked {
	return &asked{
		user:   user,
		usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		csr: x509.CertificateRequest{
			Subject:     pkix.Name{CommonName: user, Organization: []string{"system:nodes"}},
			DNSNames:    []string{"machine-0"},
			IPAddresses: []net.IP{net.ParseIP(ip)},
		},
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// request signs and encodes what is asked.
func (a *asked) request(t testing.TB, name string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &a.csr, key)
	if err != nil {
		t.Fatal(err)
	}
	raw := pemOf("CERTIFICATE REQUEST", der)
	if a.raw != nil {
		raw = a.raw(der)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(a.created)},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: raw, SignerName: cmp.Or(a.signer, certificatesv1.KubeletServingSignerName), Username: a.user, Groups: a.groups, Usages: a.usages,
		},
	}
}

func node(addresses ...corev1.NodeAddress) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "machine-0"}, Status: corev1.NodeStatus{Addresses: addresses}}
}

func address(kind corev1.NodeAddressType, value string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: kind, Address: value}
}

// plain is how a kubelet without a cloud reports its node.
func plain() *corev1.Node {
	return node(address(corev1.NodeInternalIP, ip), address(corev1.NodeHostName, "machine-0"))
}

func TestCheckServingAcceptsExactlyTheNodesOwnRequest(t *testing.T) {
	for name, c := range map[string]struct {
		node   *corev1.Node
		change func(*asked)
	}{
		"host name and address":         {plain(), func(*asked) {}},
		"with key encipherment, as RSA": {plain(), func(a *asked) { a.usages = append(a.usages, certificatesv1.UsageKeyEncipherment) }},
		"server auth alone":             {plain(), func(a *asked) { a.usages = []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth} }},
		"a node with an address only":   {node(address(corev1.NodeInternalIP, ip)), func(a *asked) { a.csr.DNSNames = nil }},
		"a node with a host name only":  {node(address(corev1.NodeHostName, "machine-0")), func(a *asked) { a.csr.IPAddresses = nil }},
		"names that the node has twice": {node(address(corev1.NodeInternalIP, ip), address(corev1.NodeHostName, "machine-0"), address(corev1.NodeInternalDNS, "machine-0")), func(*asked) {}},
		"all five kinds, in another order": {
			node(address(corev1.NodeExternalDNS, "m0.example.com"), address(corev1.NodeInternalDNS, "m0.internal"), address(corev1.NodeHostName, "machine-0"),
				address(corev1.NodeExternalIP, extIP), address(corev1.NodeInternalIP, ip), address(corev1.NodeInternalIP, six)),
			func(a *asked) {
				a.csr.DNSNames = []string{"machine-0", "m0.example.com", "m0.internal"}
				a.csr.IPAddresses = []net.IP{net.ParseIP(six), net.ParseIP(ip), net.ParseIP(extIP)}
			},
		},
	} {
		a := honest()
		c.change(a)
		if err := certificate.CheckServing(a.request(t, "csr-1"), c.node); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckServingRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		want   string
		change func(*asked)
	}{
		"a user that is no node":      {`user "system:serviceaccount:kube-system:x" is not a node`, func(a *asked) { a.user = "system:serviceaccount:kube-system:x" }},
		"no user":                     {`user "" is not a node`, func(a *asked) { a.user = "" }},
		"another node":                {`user "system:node:machine-1" is not node "machine-0"`, func(a *asked) { a.user = "system:node:machine-1" }},
		"a node whose name begins so": {`user "system:node:machine-01" is not node`, func(a *asked) { a.user = "system:node:machine-01" }},
		"another node's common name":  {`common name "system:node:machine-1" is not the user`, func(a *asked) { a.csr.Subject.CommonName = "system:node:machine-1" }},
		"no common name":              {`common name "" is not the user`, func(a *asked) { a.csr.Subject.CommonName = "" }},
		"the bare name":               {`common name "machine-0" is not the user`, func(a *asked) { a.csr.Subject.CommonName = "machine-0" }},
		"no organization":             {`organization [] is not [system:nodes]`, func(a *asked) { a.csr.Subject.Organization = nil }},
		"another organization":        {`organization ["system:masters"] is not`, func(a *asked) { a.csr.Subject.Organization = []string{"system:masters"} }},
		"one organization more":       {`organization ["system:nodes" "system:masters"] is not`, func(a *asked) { a.csr.Subject.Organization = []string{"system:nodes", "system:masters"} }},
		"no alternative name":         {"there is no subject alternative name", func(a *asked) { a.csr.DNSNames, a.csr.IPAddresses = nil, nil }},
		"a foreign host name":         {`host names ["machine-0" "kubernetes.default.svc"] are not the node's ["machine-0"]`, func(a *asked) { a.csr.DNSNames = append(a.csr.DNSNames, "kubernetes.default.svc") }},
		"a foreign host name alone":   {`host names ["machine-1"] are not the node's`, func(a *asked) { a.csr.DNSNames = []string{"machine-1"} }},
		"a wildcard":                  {`host names ["*"] are not the node's`, func(a *asked) { a.csr.DNSNames = []string{"*"} }},
		"the host name missing":       {`host names [] are not the node's ["machine-0"]`, func(a *asked) { a.csr.DNSNames = nil }},
		"a foreign address":           {`addresses ["192.0.2.10" "192.0.2.11"] are not the node's ["192.0.2.10"]`, func(a *asked) { a.csr.IPAddresses = append(a.csr.IPAddresses, net.ParseIP("192.0.2.11")) }},
		"a foreign address alone":     {`addresses ["127.0.0.1"] are not the node's`, func(a *asked) { a.csr.IPAddresses = []net.IP{net.ParseIP("127.0.0.1")} }},
		"the address missing":         {`addresses [] are not the node's ["192.0.2.10"]`, func(a *asked) { a.csr.IPAddresses = nil }},
		"an e-mail address":           {"neither host names nor addresses", func(a *asked) { a.csr.EmailAddresses = []string{"root@machine-0"} }},
		"a URI":                       {"neither host names nor addresses", func(a *asked) { a.csr.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster", Path: "/x"}} }},
		"usage client auth":           {`usage "client auth" is not one of`, func(a *asked) { a.usages = append(a.usages, certificatesv1.UsageClientAuth) }},
		"usage cert sign":             {`usage "cert sign" is not one of`, func(a *asked) { a.usages = append(a.usages, certificatesv1.UsageCertSign) }},
		"no usage server auth":        {"usage server auth is missing", func(a *asked) { a.usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature} }},
		"no usages":                   {"usage server auth is missing", func(a *asked) { a.usages = nil }},
		"no PEM":                      {"there is no PEM certificate request", func(a *asked) { a.raw = func(der []byte) []byte { return der } }},
		"nothing":                     {"there is no PEM certificate request", func(a *asked) { a.raw = func([]byte) []byte { return nil } }},
		"PEM of another kind":         {"there is no PEM certificate request", func(a *asked) { a.raw = func(der []byte) []byte { return pemOf("CERTIFICATE", der) } }},
		"PEM of something else":       {"read certificate request: ", func(a *asked) { a.raw = func([]byte) []byte { return pemOf("CERTIFICATE REQUEST", []byte("x")) } }},
		"changed after it was signed": {"verification", func(a *asked) {
			a.raw = func(der []byte) []byte {
				return pemOf("CERTIFICATE REQUEST", bytes.ReplaceAll(der, []byte("machine-0"), []byte("machine-9")))
			}
			a.user = "system:node:machine-9"
		}},
	} {
		a := honest()
		c.change(a)
		err := certificate.CheckServing(a.request(t, "csr-1"), plain())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// An address type that the contract does not name gives no right to a name.
func TestCheckServingReadsOnlyKnownKindsOfAddresses(t *testing.T) {
	a := honest()
	a.csr.DNSNames = append(a.csr.DNSNames, "elsewhere")
	of := node(address(corev1.NodeInternalIP, ip), address(corev1.NodeHostName, "machine-0"), address("Elsewhere", "elsewhere"))
	if err := certificate.CheckServing(a.request(t, "csr-1"), of); err == nil {
		t.Error("a name of an unknown kind of address is accepted")
	}
}
