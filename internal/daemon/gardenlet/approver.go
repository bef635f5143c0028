package gardenlet

import (
	"context"
	"log/slog"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

// lookAgain is when a request is looked at again whose Node is not there yet.
const lookAgain = time.Second

// approver decides on nodes' requests for certificates.
type approver struct {
	certificate.Approver
	log *slog.Logger
}

// certificates decides on the open requests.
func certificates(w world) controller {
	return controller{
		name: "certificates", triggers: []trigger{{w.requests, itself(open)}},
		reconcile: approver{log: w.log, Approver: certificate.Approver{API: w.api, Pools: w.definitions.pools}}.reconcile,
	}
}

func open(object client.Object) bool {
	return certificate.Open(object.(*certificatesv1.CertificateSigningRequest))
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
