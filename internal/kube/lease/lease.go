// Package lease turns "only one may do this at a time, in the whole cluster" into a Lease that is held while a function runs.
// Used by the sequences that reconcile.
package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// duration is after how long a holder that renews no more counts as dead. A changed Shoot starts the only API server anew, on a
	// slow machine for most of a minute, in which nobody can renew.
	duration = 90 * time.Second
	renewal  = 5 * time.Second
	// requestTimeout bounds one renewal. A holder gives up early enough for one that hangs to end before others take over.
	requestTimeout = 2 * renewal
	giveUp         = duration - requestTimeout - renewal
	// apart is how far the clocks of two hosts may be apart. A lease that ran out longer ago than that is not looked at for its duration.
	apart = 5 * time.Minute
	// separator stands between the host and the process in a holder's identity.
	separator = "/"
)

// ErrLost says that another holder took the lease while the function ran.
var ErrLost = errors.New("another gardenadm took over the cluster's lease")

// Lease is one of the cluster's leases, and who wants to hold it.
type Lease struct {
	API client.Client
	// Namespace and Name of the Lease object.
	Namespace, Name string
	// Host names this machine. The caller holds this machine's lock, so a holder of the same host is dead: it is not waited for.
	Host string
	// Process tells this run from earlier ones on the same host.
	Process string
}

func (l Lease) identity() string { return l.Host + separator + l.Process }

// Hold acquires the lease, runs the function while renewing it, and releases it. A holder on another host is waited for until it
// releases or is dead; the wait ends with the context. When the lease is lost, the function's context ends with ErrLost.
func (l Lease) Hold(ctx context.Context, run func(context.Context) error) error {
	if err := l.acquire(ctx); err != nil {
		return fmt.Errorf("acquire lease %s/%s: %w", l.Namespace, l.Name, err)
	}
	holding, stop := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		l.renew(holding, stop)
	}()
	err := run(holding)
	stop(nil)
	<-renewed
	// The run's own context may be over; the next one must not wait for us all the same.
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewal)
	defer cancel()
	return errors.Join(err, l.release(releasing))
}

// sight is a state of the object, and when this process saw it first.
type sight struct {
	version string
	since   time.Time
}

func (l Lease) acquire(ctx context.Context) error {
	last := &sight{}
	for {
		holder, err := l.try(ctx, last)
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if err == nil && holder == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s holds it: %w", holder, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
}

// try takes the lease when it is free and returns "", or returns who holds it.
func (l Lease) try(ctx context.Context, last *sight) (holder string, err error) {
	object := &coordinationv1.Lease{}
	err = l.API.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: l.Name}, object)
	if apierrors.IsNotFound(err) {
		return "", l.API.Create(ctx, l.fill(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name}}))
	}
	if err != nil {
		return "", err
	}
	holder = ptr.Deref(object.Spec.HolderIdentity, "")
	if version := object.ResourceVersion; version != last.version {
		*last = sight{version, time.Now()}
	}
	if holder == "" || l.dead(object, holder, *last) {
		return "", l.API.Update(ctx, l.fill(object))
	}
	return holder, nil
}

func (l Lease) dead(object *coordinationv1.Lease, holder string, seen sight) bool {
	if host, _, _ := strings.Cut(holder, separator); host == l.Host {
		return true
	}
	renewed := object.Spec.RenewTime
	return renewed == nil || time.Since(seen.since) > duration || time.Since(renewed.Time) > duration+apart
}

func (l Lease) fill(object *coordinationv1.Lease) *coordinationv1.Lease {
	now := metav1.NowMicro()
	object.Spec.HolderIdentity = ptr.To(l.identity())
	object.Spec.LeaseDurationSeconds = ptr.To(int32(duration / time.Second))
	object.Spec.AcquireTime = &now
	object.Spec.RenewTime = &now
	return object
}

// renew keeps the lease until the context ends. A failed request is tried again; only another holder, or no answer for nearly
// as long as others wait before they take over, ends the run.
func (l Lease) renew(ctx context.Context, stop context.CancelCauseFunc) {
	last := time.Now()
	ticker := time.NewTicker(renewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		began := time.Now()
		err := l.touch(ctx)
		switch {
		case err == nil:
			last = began
		case errors.Is(err, ErrLost):
			stop(ErrLost)
			return
		case time.Since(last) > giveUp:
			stop(fmt.Errorf("%w: it could not be renewed: %w", ErrLost, err))
			return
		}
	}
}

func (l Lease) touch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	object := &coordinationv1.Lease{}
	if err := l.API.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: l.Name}, object); err != nil {
		return err
	}
	if ptr.Deref(object.Spec.HolderIdentity, "") != l.identity() {
		return ErrLost
	}
	now := metav1.NowMicro()
	object.Spec.RenewTime = &now
	return l.API.Update(ctx, object)
}

func (l Lease) release(ctx context.Context) error {
	object := &coordinationv1.Lease{}
	if err := l.API.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: l.Name}, object); err != nil {
		return nil //nolint:nilerr // it runs out by itself, and the next run on this host does not wait for it
	}
	if ptr.Deref(object.Spec.HolderIdentity, "") != l.identity() {
		return nil
	}
	object.Spec.HolderIdentity = nil
	if err := l.API.Update(ctx, object); err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil {
		return fmt.Errorf("release lease %s/%s: %w", l.Namespace, l.Name, err)
	}
	return nil
}
