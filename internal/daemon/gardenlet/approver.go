package gardenlet

import (
	"context"
	"log/slog"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
)

// lookAgain is when a request is looked at again whose Node is not there yet.
const lookAgain = time.Second

// approver decides on nodes' requests for certificates.
type approver struct {
	certificate.Approver
	log *slog.Logger
}

func newApprover(api client.Client, log *slog.Logger) approver {
	return approver{log: log, Approver: certificate.Approver{API: api, Pools: func(ctx context.Context) ([]cluster.Pool, error) {
		defined, err := definition.Load(ctx, api)
		if err != nil {
			return nil, err
		}
		c, err := defined.Cluster()
		if err != nil {
			return nil, err
		}
		return c.Pools, nil
	}}}
}

// certificates watches the open requests.
func certificates(api client.Client, log *slog.Logger) controller {
	return controller{
		name: "certificates", object: &certificatesv1.CertificateSigningRequest{},
		list: func() client.ObjectList { return &certificatesv1.CertificateSigningRequestList{} },
		trim: forgetContent,
		wanted: func(object client.Object) bool {
			return certificate.Open(object.(*certificatesv1.CertificateSigningRequest))
		},
		reconcile: newApprover(api, log).reconcile,
	}
}

// forgetContent keeps of a request what says whether it is decided; it is read anew for the decision.
func forgetContent(object client.Object) {
	request := object.(*certificatesv1.CertificateSigningRequest)
	request.Spec = certificatesv1.CertificateSigningRequestSpec{}
	if len(request.Status.Certificate) > 0 {
		request.Status.Certificate = []byte("issued")
	}
}

// reconcile decides on one request, if it is one of a node's.
func (a approver) reconcile(ctx context.Context, name string) (time.Duration, error) {
	request := &certificatesv1.CertificateSigningRequest{}
	if err := a.API.Get(ctx, client.ObjectKey{Name: name}, request); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	decision, err := a.Decide(ctx, request)
	if err != nil {
		return 0, err
	}
	switch decision.Answer {
	case certificate.NotYet:
		return lookAgain, nil
	case certificate.Approved, certificate.Denied:
		a.log.Info("request for a certificate "+string(decision.Answer), "request", request.Name, "signer", request.Spec.SignerName,
			"user", request.Spec.Username, "reason", decision.Why)
	}
	return 0, nil
}
