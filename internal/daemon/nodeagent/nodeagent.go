// Package nodeagent turns what the cluster publishes for a pool of nodes, and what happens on a node, into changes of that node.
// Used by `gardenadm run node-agent`, which gardener-node-agent.service starts on every node.
package nodeagent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	nodeagentv1alpha1 "github.com/gardener/gardener/pkg/apis/config/nodeagent/v1alpha1"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// ErrRestart says that the agent's own unit or configuration was changed: it has to be started again.
var ErrRestart = errors.New("the node agent's own configuration was changed")

// Options say which node the agent keeps and how it reaches others. Many agents, each with a host of its own, may run in one process.
type Options struct {
	// Host is the node. The agent's configuration, identity and certificate are read from its files.
	Host *host.Host
	Log  *slog.Logger

	// Supply gives files of images, and images; nil stands for the cluster's mirrors.
	Supply Supply
	// Proxy takes a list of API servers; nil stands for the endpoint proxy of this node.
	Proxy func(context.Context, endpoint.List) error
	// Probe is nil when who listens at the URL says that he is well; nil stands for a real request that trusts any server.
	Probe func(ctx context.Context, url string) error
	// Renewal returns a bootstrap token for this node; nil stands for asking the control plane nodes.
	Renewal func(context.Context) (token string, err error)
	// Wrap is put around the connection to the API; nil for nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Supply gives what the node's configuration names and does not contain.
type Supply interface {
	agent.Source
	// Pull imports those of the images that are missing, pinned; it tries all of them.
	Pull(ctx context.Context, list []image.Wanted) error
}

// daemon is what the agent's parts have in common.
type daemon struct {
	Options
	node     cluster.Node
	config   *nodeagentv1alpha1.NodeAgentConfiguration
	identity *identity
	api      client.WithWatch
	self     *self
	events   *events
	// apiOf asks the API with a bootstrap token.
	apiOf func(token string) (client.WithWatch, error)
	// hands are held by whoever changes files or the state of units.
	hands sync.Mutex
}

// Run keeps the node until the context ends, then it returns nil. With ErrRestart, or another error, it has to be started again.
func Run(ctx context.Context, o Options) error {
	d, err := load(ctx, o)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

func (d *daemon) run(ctx context.Context) error {
	if !d.waitForName(ctx) {
		return nil
	}
	if err := d.tidyUp(ctx); err != nil {
		d.Log.Warn("files that a killed run left half-written stay", "error", err)
	}
	keeper := newKeeper(d)
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{
		keeper.run, keeper.follow, keeper.turn.run,
		d.self.run, d.events.run, d.keepLease, d.keepCertificates, d.keepName,
		d.keepTokens, newImages(d, keeper.made).run, newEndpoints(d).run, newHealth(d, keeper.units).run, newRestarts(d).run,
	} {
		group.Go(func() error { return part(ctx) })
	}
	return group.Wait()
}

// tidyUp removes what killed agents left half-written, programs of 100 MiB and secrets among it, unless a command is at work here.
func (d *daemon) tidyUp(ctx context.Context) error {
	unlock, err := hoststep.Lock(ctx, d.Host)
	if err != nil {
		return nil // join is, which does the same
	}
	return errors.Join(hoststep.RemoveAgentsHalfWritten(ctx, d.Host), unlock())
}
