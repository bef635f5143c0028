package gardenlet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

// leaseAgent begins the name of a node agent's Lease (contract node-agent-and-osc §6.4).
const leaseAgent = "gardener-node-agent-"

// undertaker removes from the API what is left of a worker that leaves.
type undertaker struct{ world }

// removeLeaving watches for Nodes that are about to leave. That of a control plane node stays: its etcd member and secrets have
// to go first, and until then its API server is only avoided (publishEndpoints).
func removeLeaving(w world) controller {
	return controller{
		name: "leaving",
		triggers: []trigger{{w.nodes, itself(func(object client.Object) bool {
			_, controlPlane := object.GetLabels()[labelControlPlane]
			return certificate.Leaving(object.(*corev1.Node)) && !controlPlane
		})}},
		reconcile: undertaker{w}.reconcile,
	}
}

// reconcile deletes the Node last: it is what says that there is something left to do.
func (u undertaker) reconcile(ctx context.Context, name string) (time.Duration, error) {
	node := &corev1.Node{}
	if err := u.api.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	if !certificate.Leaving(node) { // it thought better of it
		return 0, nil
	}
	if err := u.deleteRequests(ctx, name); err != nil {
		return 0, err
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: leaseAgent + name}}
	if err := client.IgnoreNotFound(u.api.Delete(ctx, lease)); err != nil {
		return 0, fmt.Errorf("delete Lease %s: %w", lease.Name, err)
	}
	// Another machine of the same name may have joined in the meantime.
	if err := client.IgnoreNotFound(u.api.Delete(ctx, node, client.Preconditions{UID: &node.UID})); err != nil {
		return 0, fmt.Errorf("delete Node %s: %w", name, err)
	}
	u.log.Info("node left", "node", name, "pool", node.Labels[constants.LabelWorkerPool])
	return 0, nil
}

// deleteRequests removes the node's requests for certificates, by whomever they were made.
func (u undertaker) deleteRequests(ctx context.Context, name string) error {
	list := &certificatesv1.CertificateSigningRequestList{}
	if err := u.api.List(ctx, list); err != nil {
		return fmt.Errorf("list certificate requests: %w", err)
	}
	var errs []error
	for i := range list.Items {
		if node, ok := certificate.For(&list.Items[i]); !ok || node != name {
			continue
		}
		if err := client.IgnoreNotFound(u.api.Delete(ctx, &list.Items[i])); err != nil {
			errs = append(errs, fmt.Errorf("delete request %s: %w", list.Items[i].Name, err))
		}
	}
	return errors.Join(errs...)
}
