package nodeagent

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
)

// The agent's own Lease (contract node-agent-and-osc §6.4).
const (
	leaseDuration = 40 * time.Second
	leaseRenewal  = 10 * time.Second
)

// keepLease shows that the agent lives, as long as the node does not leave.
func (d *daemon) keepLease(ctx context.Context) error {
	var lease *coordinationv1.Lease
	tries := retry{first: time.Second, last: leaseRenewal}
	every(ctx, func(ctx context.Context) time.Duration {
		node := d.self.get()
		if node == nil {
			lease = nil // that of a Node of the same name before, perhaps
			return time.Second
		}
		if certificate.Leaving(node) {
			return leaseRenewal
		}
		renewed, err := d.renewLease(ctx, lease, node)
		if err != nil {
			lease = nil
			return tries.failed(d.Log, "the node agent's lease cannot be renewed", err)
		}
		lease = renewed
		tries.succeeded()
		return jitter(leaseRenewal)
	})
	return nil
}

// isThere says whether the Node is still the one that was seen last.
func (d *daemon) isThere(ctx context.Context, node *corev1.Node) (bool, error) {
	now := &corev1.Node{}
	err := ask(ctx, func(ctx context.Context) error { return d.api.Get(ctx, client.ObjectKeyFromObject(node), now) })
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get Node %s: %w", node.Name, err)
	}
	return err == nil && now.UID == node.UID, nil
}

// renewLease updates the Lease as it was written last, which is one request; nil stands for not known. It returns nil for a Node that
// is gone.
func (d *daemon) renewLease(ctx context.Context, lease *coordinationv1.Lease, node *corev1.Node) (*coordinationv1.Lease, error) {
	name := "gardener-node-agent-" + d.node.Name
	if lease == nil {
		lease = &coordinationv1.Lease{}
		err := ask(ctx, func(ctx context.Context) error {
			return d.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: name}, lease)
		})
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("get Lease %s: %w", name, err)
		}
		if apierrors.IsNotFound(err) {
			// It was deleted with its Node, perhaps, and another one would have an owner that is not there.
			if there, err := d.isThere(ctx, node); !there || err != nil {
				return nil, err
			}
			lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name}}
		}
	}
	lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	lease.Spec.HolderIdentity = ptr.To(d.node.Name)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(leaseDuration / time.Second))
	lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
	err := ask(ctx, func(ctx context.Context) error {
		if lease.ResourceVersion == "" {
			return d.api.Create(ctx, lease)
		}
		return d.api.Update(ctx, lease)
	})
	if err != nil {
		return nil, fmt.Errorf("renew Lease %s: %w", name, err)
	}
	return lease, nil
}
