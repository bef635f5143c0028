// Package gardenlet turns what a cluster is made of, and what its nodes ask for, into their configuration and certificates.
// Used by `gardenadm run gardenlet`, which gardenlet.service starts on control plane nodes.
package gardenlet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
)

const (
	// leaseName is that of the Lease in kube-system by which the leader is elected (render/component/nodeaccess gives the right to it).
	leaseName = "gardenlet"
	// A leader that is gone is replaced after leaseDuration at most; one that stops gives the lease back.
	leaseDuration = 30 * time.Second
	renewDeadline = 20 * time.Second
	retryPeriod   = 5 * time.Second
	// knockEvery is the pause between two tries to reach the API server while the gardenlet waits for it.
	knockEvery = 500 * time.Millisecond
)

// ErrLost says that another gardenlet leads, or that the Lease could not be renewed.
var ErrLost = errors.New("the lead is lost")

// Options say as whom the gardenlet runs.
type Options struct {
	Kubeconfig []byte
	// Identity tells this process from every other gardenlet.
	Identity string
	Log      *slog.Logger
}

// Run waits until the API server answers and knows the gardenlet's rights, and looks after the cluster as soon as it leads.
// It ends without an error with the context, and with ErrLost when it led: it has to be started again then.
func Run(ctx context.Context, o Options) error {
	api, err := kube.New(o.Kubeconfig)
	if err != nil {
		return err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	// Watches get a client of their own: the other one's requests end after a while.
	watching, err := client.NewWithWatch(config, client.Options{Scheme: api.Scheme(), Mapper: api.RESTMapper()})
	if err != nil {
		return fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	if !waitUntilAdmitted(ctx, api, o.Log) {
		return nil
	}
	ctx = logr.NewContext(ctx, logr.FromSlogHandler(o.Log.Handler())) // for client-go
	return lead(ctx, config, o, func(ctx context.Context) {
		runAll(ctx, watching, o.Log, certificates(api, o.Log), pools(api, o.Log))
	})
}

// waitUntilAdmitted is true once the API server is ready and the gardenlet may see its Lease. Both take a while when a node boots, and
// the rights are missing until init has applied them: that is nothing to complain about again and again.
func waitUntilAdmitted(ctx context.Context, api *kube.Client, log *slog.Logger) bool {
	ticker := time.NewTicker(knockEvery)
	defer ticker.Stop()
	for waiting := false; ; waiting = true {
		err := api.Ready(ctx)
		if err == nil {
			err = client.IgnoreNotFound(api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: leaseName}, &coordinationv1.Lease{}))
		}
		if err == nil {
			return true
		}
		if !waiting {
			log.Info("waiting for the API server", "reason", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// lead runs the work while this gardenlet leads. The work may go on for a moment beside that of the next leader: all of it is
// idempotent, and a decision on what changed in between is refused by the API.
func lead(ctx context.Context, config *rest.Config, o Options, work func(context.Context)) error {
	leases, err := typed.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: leaseName}, Client: leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.Identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: work, OnStoppedLeading: func() {}},
	})
	if err != nil {
		return fmt.Errorf("elect leader: %w", err)
	}
	elector.Run(ctx)
	if ctx.Err() == nil {
		return ErrLost
	}
	return nil
}
