package certificate_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/token"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign is a certificate for what the request asks for, by an authority that nobody knows; it ends at the time.
func sign(t *testing.T, request *certificatesv1.CertificateSigningRequest, public crypto.PublicKey, until time.Time) []byte {
	t.Helper()
	block, _ := pem.Decode(request.Spec.Request)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if public == nil {
		public = csr.PublicKey
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: csr.Subject, NotBefore: until.Add(-time.Hour), NotAfter: until}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func denial(why string) []certificatesv1.CertificateSigningRequestCondition {
	return []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue, Message: why}}
}

// decider is an API in which somebody decides on requests a while after they were made.
type decider struct {
	client.Client
	t      *testing.T
	decide func(*certificatesv1.CertificateSigningRequest)
}

func (d *decider) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if err := d.Client.Create(ctx, object, options...); err != nil {
		return err
	}
	request := object.DeepCopyObject().(*certificatesv1.CertificateSigningRequest)
	go func() {
		time.Sleep(3 * time.Second)
		d.decide(request)
		if err := d.Client.Status().Update(context.WithoutCancel(ctx), request); err != nil {
			d.t.Error(err)
		}
	}()
	return nil
}

func (d *decider) names() []string {
	list := &certificatesv1.CertificateSigningRequestList{}
	if err := d.List(context.Background(), list); err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, request := range list.Items {
		out = append(out, request.Name)
	}
	return slices.Sorted(slices.Values(out))
}

func newDecider(t *testing.T, decide func(*certificatesv1.CertificateSigningRequest)) *decider {
	return &decider{Client: fake.NewClientBuilder().WithScheme(scheme.Scheme).Build(), t: t, decide: decide}
}

// What Issue asks for is what the approver approves, and with the same key it is asked for once.
func TestIssue(t *testing.T) {
	for name, order := range map[string]certificate.Order{
		"kubelet":    certificate.KubeletOrder("machine-1"),
		"node agent": certificate.NodeAgentOrder("machine-1", "workers"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := newKey(t)
				api := newDecider(t, func(request *certificatesv1.CertificateSigningRequest) {
					request.Status.Certificate = sign(t, request, nil, time.Now().Add(time.Hour))
					switch request.Spec.SignerName {
					case certificatesv1.KubeAPIServerClientKubeletSignerName:
						if node, err := certificate.CheckKubelet(request); err != nil || node != "machine-1" {
							t.Errorf("got %s, %v", node, err)
						}
					default:
						if node, pool, err := certificate.CheckNodeAgent(request); err != nil || node != "machine-1" || pool != "workers" {
							t.Errorf("got %s, %s, %v", node, pool, err)
						}
					}
				})
				ctx, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				if _, err := certificate.Issue(ctx, api, order, key); err == nil || !strings.Contains(err.Error(), "has not decided") {
					t.Errorf("before the decision: %v", err)
				}
				for range 2 {
					got, err := certificate.Issue(t.Context(), api, order, key)
					if err != nil || !strings.Contains(string(got), "CERTIFICATE") {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				if names := api.names(); len(names) != 1 {
					t.Errorf("requests %q", names)
				}
				if _, err := certificate.Issue(t.Context(), api, order, newKey(t)); err != nil {
					t.Fatal(err)
				}
				if names := api.names(); len(names) != 2 {
					t.Errorf("with another key, requests %q", names)
				}
			})
		})
	}
}

// TestIssueDeniedByReason: what the approver says decides what is to be done.
func TestIssueDeniedByReason(t *testing.T) {
	now := time.Now()
	used := token.Token{ID: "abcdef", Binding: token.Binding{SingleUse: true}, UsedBy: []string{"a"}}
	for name, test := range map[string]struct {
		why  error
		want fault.Code
		fix  string
	}{
		"used up":      {used.Admits("machine-1", "b", now), fault.TokenUsedUp, ""},
		"another pool": {token.Token{Binding: token.Binding{Pool: "a"}}.Admits("machine-1", "b", now), fault.TokenOfAnother, ""},
		"another node": {token.Token{Binding: token.Binding{Node: "a"}}.Admits("machine-1", "b", now), fault.TokenOfAnother, ""},
		"expired":      {token.Token{Expires: now}.Admits("machine-1", "b", now), fault.ExpiredToken, ""},
		"name taken":   {fault.New(fault.NodeNameTaken, "there is a Node machine-1 already"), fault.NodeNameTaken, "node remove machine-1"},
		"a newer one":  {fault.New("GA-2499", "x"), fault.CertificateDenied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newDecider(t, func(request *certificatesv1.CertificateSigningRequest) {
					request.Status.Conditions = denial(test.why.Error())
				})
				_, err := certificate.Issue(t.Context(), api, certificate.KubeletOrder("machine-1"), newKey(t))
				found := fault.Of(err)
				if len(found) != 1 || found[0].Code != test.want || !strings.Contains(found[0].Fix, test.fix) {
					t.Fatalf("got %v", err)
				}
				if strings.Count(err.Error(), string(test.want)) != 1 {
					t.Errorf("the code is told twice: %v", err)
				}
			})
		})
	}
}

// A denial ends the wait with its reason. When it is asked again, with another token perhaps, there is another request.
func TestIssueDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newDecider(t, func(request *certificatesv1.CertificateSigningRequest) {
			request.Status.Conditions = denial("token abcdef is for pool a, not for b")
		})
		key := newKey(t)
		for range 2 {
			_, err := certificate.Issue(t.Context(), api, certificate.KubeletOrder("machine-1"), key)
			found := fault.Of(err)
			if len(found) == 0 || found[0].Code != fault.CertificateDenied || !strings.Contains(err.Error(), "token abcdef is for pool a, not for b") {
				t.Fatalf("got %v", err)
			}
		}
		if names := api.names(); len(names) != 2 {
			t.Errorf("requests %q", names)
		}
		api.decide = func(request *certificatesv1.CertificateSigningRequest) {
			request.Status.Certificate = sign(t, request, nil, time.Now().Add(time.Hour))
		}
		if _, err := certificate.Issue(t.Context(), api, certificate.KubeletOrder("machine-1"), key); err != nil {
			t.Errorf("after the denials: %v", err)
		}
	})
}

func TestIssueRefusesForeignCertificates(t *testing.T) {
	for name, test := range map[string]struct {
		certificate func(*testing.T, *certificatesv1.CertificateSigningRequest) []byte
		want        string
	}{
		"another key": {func(t *testing.T, request *certificatesv1.CertificateSigningRequest) []byte {
			return sign(t, request, newKey(t).Public(), time.Now().Add(time.Hour))
		}, "for another key"},
		"no certificate": {func(*testing.T, *certificatesv1.CertificateSigningRequest) []byte { return []byte("x") }, "no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newDecider(t, func(request *certificatesv1.CertificateSigningRequest) {
					request.Status.Certificate = test.certificate(t, request)
				})
				_, err := certificate.Issue(t.Context(), api, certificate.KubeletOrder("machine-1"), newKey(t))
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
			})
		})
	}
}

// A certificate that has ended is no use, though the API still has its request.
func TestIssueAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Hour)
		api := newDecider(t, func(request *certificatesv1.CertificateSigningRequest) {
			request.Status.Certificate = sign(t, request, nil, until)
		})
		key, order := newKey(t), certificate.KubeletOrder("machine-1")
		if _, err := certificate.Issue(t.Context(), api, order, key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		until = time.Now().Add(time.Hour)
		if _, err := certificate.Issue(t.Context(), api, order, key); err != nil {
			t.Fatal(err)
		}
		if names := api.names(); len(names) != 2 || !strings.HasSuffix(names[1], "-2") {
			t.Errorf("requests %q", names)
		}
	})
}
