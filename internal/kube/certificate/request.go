package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	// maxRequests is how often one key is asked for anew after a denial, until the API forgets denied requests (after an hour).
	maxRequests = 9
	firstLook   = 50 * time.Millisecond
	lastLook    = time.Second
)

// Order is a wish for a client certificate. KubeletOrder and NodeAgentOrder make one.
type Order struct {
	signer, prefix string
	subject        pkix.Name
}

// KubeletOrder is for the client certificate of the node's kubelet.
func KubeletOrder(node string) Order {
	return Order{
		signer: certificatesv1.KubeAPIServerClientKubeletSignerName, prefix: "node-csr-",
		subject: pkix.Name{CommonName: userPrefix + node, Organization: []string{nodeGroup}},
	}
}

// NodeAgentOrder is for the client certificate of the agent of a node in the pool (contract node-agent-and-osc §6.1).
func NodeAgentOrder(node, pool string) Order {
	return Order{
		signer: certificatesv1.KubeAPIServerClientSignerName, prefix: "node-agent-csr-",
		subject: pkix.Name{
			CommonName:   constants.NodeAgentUserNamePrefix + node,
			Organization: []string{constants.NodeAgentsGroup, secret.NodeAgentPoolGroup(pool)},
		},
	}
}

// Issue asks the API for the certificate of the key and waits for it until the context ends. Called again with the same key it
// goes on with the request that it made before. A request that is denied while it waits is a fault with the approver's
// reason; one that had been denied before is made anew. The certificate is PEM, and for this key and order.
func Issue(ctx context.Context, api client.Client, order Order, key crypto.Signer) ([]byte, error) {
	request, err := order.open(ctx, api, key)
	if err != nil {
		return nil, fmt.Errorf("ask for the certificate of %s: %w", order.subject.CommonName, err)
	}
	for pause := firstLook; len(request.Status.Certificate) == 0; pause = min(2*pause, lastLook) {
		if err := refused(request); err != nil {
			return nil, fmt.Errorf("ask for the certificate of %s: %w", order.subject.CommonName, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the certificate of %s: %w: %w", order.subject.CommonName, pending(request), context.Cause(ctx))
		case <-time.After(pause):
		}
		if err := api.Get(ctx, client.ObjectKeyFromObject(request), request); err != nil {
			return nil, fmt.Errorf("wait for the certificate of %s: %w", order.subject.CommonName, err)
		}
	}
	if err := order.fits(request.Status.Certificate, key); err != nil {
		return nil, fmt.Errorf("read the certificate of request %s: %w", request.Name, err)
	}
	return request.Status.Certificate, nil
}

// open finds the request that is not over, or makes it.
func (o Order) open(ctx context.Context, api client.Client, key crypto.Signer) (*certificatesv1.CertificateSigningRequest, error) {
	request, err := o.request(key)
	if err != nil {
		return nil, err
	}
	base := request.Name
	for number := 1; ; number++ {
		if number > 1 {
			request.Name = fmt.Sprintf("%s-%d", base, number)
		}
		made := request.DeepCopy()
		err := api.Create(ctx, made)
		if err == nil {
			return made, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
		if err := api.Get(ctx, client.ObjectKeyFromObject(made), made); err != nil {
			return nil, err
		}
		if refused(made) == nil && !ended(made.Status.Certificate) {
			return made, nil
		}
		if number == maxRequests {
			return nil, fmt.Errorf("%d requests of this key were in vain: %w", number, undone(made))
		}
	}
}

// request is named after the key, so that whoever has it finds the request again.
func (o Order) request(key crypto.Signer) (*certificatesv1.CertificateSigningRequest, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: o.subject}, key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(o.subject.String()+"\n"), public...))
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	if _, ok := key.Public().(*rsa.PublicKey); ok {
		usages = append(usages, certificatesv1.UsageKeyEncipherment)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: o.prefix + hex.EncodeToString(sum[:10])},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}),
			SignerName: o.signer, Usages: usages,
		},
	}, nil
}

// refused is a fault when somebody decided against the request, or it could not be signed. An approver of this cluster ends its words with
// the code of the fault, which has a fix of its own.
func refused(request *certificatesv1.CertificateSigningRequest) error {
	for _, condition := range request.Status.Conditions {
		if condition.Type == certificatesv1.CertificateDenied || condition.Type == certificatesv1.CertificateFailed {
			return told(request, condition.Message)
		}
	}
	return nil
}

func told(request *certificatesv1.CertificateSigningRequest, message string) error {
	words := undone(request).Error()
	for _, code := range []fault.Code{fault.ExpiredToken, fault.TokenOfAnother, fault.TokenUsedUp, fault.NodeNameTaken} {
		suffix := " (" + string(code) + ")"
		if !strings.HasSuffix(message, suffix) {
			continue
		}
		out := fault.New(code, "%s", strings.TrimSuffix(words, suffix))
		if node, ok := For(request); ok && code == fault.NodeNameTaken {
			out = out.Mend("hostnamectl set-hostname NAME on this machine, or on a control plane node: gardenadm node remove %s", node)
		}
		return out
	}
	return fault.New(fault.CertificateDenied, "%s", words)
}

// pending says what a request without a certificate waits for.
func pending(request *certificatesv1.CertificateSigningRequest) error {
	if Open(request) {
		return fmt.Errorf("the cluster has not decided on request %s yet", request.Name)
	}
	return undone(request)
}

// ended: the API keeps a request for a while after its certificate's end.
func ended(pemData []byte) bool {
	certificate, err := leaf(pemData)
	return err == nil && time.Now().After(certificate.NotAfter)
}

// fits refuses a certificate that is for somebody else, or for another key.
func (o Order) fits(pemData []byte, key crypto.Signer) error {
	certificate, err := leaf(pemData)
	if err != nil {
		return err
	}
	have, err := x509.MarshalPKIXPublicKey(certificate.PublicKey)
	if err != nil {
		return err
	}
	want, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	switch {
	case !bytes.Equal(have, want):
		return errors.New("it is for another key")
	case certificate.Subject.CommonName != o.subject.CommonName || !sameSet(certificate.Subject.Organization, o.subject.Organization):
		return fmt.Errorf("it is for %s", certificate.Subject)
	}
	return nil
}

func leaf(pemData []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(pemData)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}
