// Package gardenlet turns what a cluster is made of, and what its nodes ask for, into their configuration and certificates.
// Used by `gardenadm run gardenlet`, which gardenlet.service starts on control plane nodes.
package gardenlet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/node/reach"
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

// Options say as whom and where the gardenlet runs.
type Options struct {
	Kubeconfig []byte
	// Identity tells this process from every other gardenlet.
	Identity string
	// Files are this node's.
	Files Files
	// Listener is where machines of the Networks ask, on the node's address, and TLS has the certificate that they see.
	Listener net.Listener
	TLS      *tls.Config
	Networks []netip.Prefix
	Log      *slog.Logger
}

// Run answers machines at once, whether there is an API server or not. It waits until the API server answers and knows the gardenlet's
// rights, and looks after the cluster as soon as it leads. It ends without an error with the context, and with ErrLost when it led: it
// has to be started again then. It closes the listener.
func Run(ctx context.Context, o Options) error {
	defer o.Listener.Close() //nolint:errcheck // the server has closed it
	api, err := kube.New(o.Kubeconfig)
	if err != nil {
		return err
	}
	config, err := kube.Config(o.Kubeconfig)
	if err != nil {
		return err
	}
	// Watches get a client of their own: the other one's requests end after a while.
	watching, err := client.NewWithWatch(config, client.Options{Scheme: api.Scheme(), Mapper: api.RESTMapper()})
	if err != nil {
		return fmt.Errorf("make client for %s: %w", config.Host, err)
	}
	w, err := newWorld(api, watching, o.Log)
	if err != nil {
		return err
	}
	ctx = logr.NewContext(ctx, logr.FromSlogHandler(o.Log.Handler())) // for client-go
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, o.Listener, o.TLS, answers(o, w), o.Log) })
	group.Go(func() error {
		if !waitUntilAdmitted(ctx, api, o.Log) {
			return nil
		}
		// Whoever does not lead watches, too: it knows all when it has to take over, and answers from what it knows.
		group.Go(func() error { w.run(ctx); return nil })
		return lead(ctx, config, o, func(ctx context.Context) { runAll(ctx, o.Log, controllers(w, o.Files)...) })
	})
	return group.Wait()
}

func controllers(w world, files Files) []controller {
	return []controller{
		certificates(w), issueCertificates(w), publishPools(w), publishEndpoints(w, files), keepNodes(w), spreadDelays(w), removeLeaving(w),
	}
}

// answers is what other machines may ask of every gardenlet.
func answers(o Options, w world) http.Handler {
	from, _ := netip.ParseAddrPort(o.Listener.Addr().String())
	return handler(o.Networks, o.Files, newRenewer(w.api, o.Files, o.Log), reach.NewServer(reach.Options{Address: from.Addr(), Nodes: w.identities, Files: o.Files}), o.Log)
}

// identities tell machines that join apart from those that have joined.
func (w world) identities(context.Context) ([]reach.Identity, error) {
	if !w.nodes.HasSynced() {
		return nil, errors.New("the Nodes of the cluster are not known yet")
	}
	var out []reach.Identity
	for _, node := range all[*corev1.Node](w.nodes) {
		out = append(out, identityOf(node))
	}
	return out, nil
}

func identityOf(node *corev1.Node) reach.Identity {
	out := reach.Identity{Name: node.Name, MachineID: node.Status.NodeInfo.MachineID, Ready: isReady(node)}
	if addresses, err := internalIPs(node); err == nil && len(addresses) > 0 { // else it is compared without
		out.Address = addresses[0]
	}
	return out
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
