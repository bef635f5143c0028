package nodeagent

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/render/osc"
)

const (
	// turnDuration is after how long a holder that renews no more may be followed by another one.
	turnDuration = time.Minute
	turnRenewal  = turnDuration / 4
	turnPoll     = 5 * time.Second
)

// turn is the Lease by which the nodes of a pool change one after the other (contract node-agent-and-osc §6.3, decision 0011). It is kept
// until the node is well again: while it is not, all others wait. An agent that was started again goes on with its node's turn.
type turn struct {
	*daemon
	key func() string // of the pool, by which the Lease is named

	mu    sync.Mutex
	lease *coordinationv1.Lease // nil while it is somebody else's turn
	// asked: it is known whether the turn is this node's from before.
	asked bool
	// other is the state of somebody else's turn, and seen when it was seen first: clocks of two machines are not compared.
	other string
	seen  time.Time
	// looked is when the API said last whose turn it is.
	looked time.Time
}

func newTurn(d *daemon, key func() string) *turn { return &turn{daemon: d, key: key} }

func (t *turn) name() string { return osc.TurnLease(t.key()) }

func (t *turn) held() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lease != nil
}

// take takes the turn and returns "", or says whose it is.
func (t *turn) take(ctx context.Context) (who string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lease != nil {
		return "", nil
	}
	lease, err := t.get(ctx)
	if err != nil {
		return "", err
	}
	if lease == nil {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: t.name()}}
	}
	if who, err = t.occupied(ctx, lease); who != "" || err != nil {
		return who, err
	}
	return "", t.write(ctx, lease)
}

// resume finds out, once, whether the turn is this node's from before. It does so in every pool: whether the nodes of this one take
// turns is known only once the pool's Secret has come, and that may be after the node has settled.
func (t *turn) resume(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked || t.lease != nil {
		return nil
	}
	lease, err := t.get(ctx)
	if err != nil {
		return err
	}
	t.asked = true
	if lease == nil || ptr.Deref(lease.Spec.HolderIdentity, "") != t.node.Name {
		return nil
	}
	return t.write(ctx, lease)
}

// release ends the turn, if it is this node's.
func (t *turn) release(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lease == nil {
		return nil
	}
	lease := t.lease.DeepCopy()
	lease.Spec.HolderIdentity = nil
	err := ask(ctx, func(ctx context.Context) error { return t.api.Update(ctx, lease) })
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("end the turn of node %s: %w", t.node.Name, err)
	}
	t.lease = nil
	return nil
}

// run renews the turn while it is this node's.
func (t *turn) run(ctx context.Context) error {
	tries := retry{first: turnRenewal / 4, last: turnRenewal}
	every(ctx, func(ctx context.Context) time.Duration {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.lease == nil {
			return turnRenewal
		}
		err := t.write(ctx, t.lease.DeepCopy())
		switch {
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
			t.Log.Warn("the turn was taken by somebody else", "lease", t.name())
			t.lease = nil
		case err != nil:
			return tries.failed(t.Log, "the turn cannot be renewed", err)
		}
		tries.succeeded()
		return jitter(turnRenewal)
	})
	return nil
}

func (t *turn) get(ctx context.Context) (*coordinationv1.Lease, error) {
	lease := &coordinationv1.Lease{}
	err := ask(ctx, func(ctx context.Context) error {
		return t.api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: t.name()}, lease)
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask whose turn it is: %w", err)
	}
	return lease, nil
}

// occupied says whose turn it is, "" when it is free. One that was not renewed for its duration is free, too, if the holder's node is Ready
// or gone: a node that went down in its turn must not be followed into the same change by the next one.
func (t *turn) occupied(ctx context.Context, lease *coordinationv1.Lease) (who string, err error) {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || holder == t.node.Name {
		return "", nil
	}
	// While nobody could ask, the holder could not renew either.
	if state := lease.ResourceVersion; state != t.other || time.Since(t.looked) > turnDuration/2 {
		t.other, t.seen = state, time.Now()
	}
	t.looked = time.Now()
	if time.Since(t.seen) < turnDuration {
		return "node " + holder, nil
	}
	node := &corev1.Node{}
	err = ask(ctx, func(ctx context.Context) error { return t.api.Get(ctx, client.ObjectKey{Name: holder}, node) })
	switch {
	case apierrors.IsNotFound(err) || err == nil && ready(node):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look at node %s, whose turn it is: %w", holder, err)
	}
	return "node " + holder + ", which is not Ready", nil
}

// write makes the turn this node's, now. The caller holds the mutex.
func (t *turn) write(ctx context.Context, lease *coordinationv1.Lease) error {
	now := metav1.NowMicro()
	if ptr.Deref(lease.Spec.HolderIdentity, "") != t.node.Name {
		lease.Spec.AcquireTime = &now
	}
	lease.Spec.HolderIdentity = ptr.To(t.node.Name)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(turnDuration / time.Second))
	lease.Spec.RenewTime = &now
	err := ask(ctx, func(ctx context.Context) error {
		if lease.ResourceVersion == "" {
			return t.api.Create(ctx, lease)
		}
		return t.api.Update(ctx, lease)
	})
	if err != nil {
		return fmt.Errorf("take the turn of %s: %w", t.name(), err)
	}
	t.lease = lease
	return nil
}
