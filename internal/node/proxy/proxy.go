// Package proxy turns connections to one fixed address of a node into connections to a healthy API server.
// Used by `gardenadm run proxy`, which gardener-api-proxy.socket starts on every node.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
)

// DefaultConnections is how many connections a listener carries; each costs two sockets and up to two pipes.
const DefaultConnections = 4096

// Options say what a proxy serves. Node, Listeners, Authorities, Files and Path are required.
type Options struct {
	// Node is this node's name. It decides which servers this node prefers.
	Node string
	// Local is this node's own API server, preferred to all others and known without a list; the zero AddrPort on workers.
	Local netip.AddrPort
	// Listeners take the clients: TCP, on addresses that are not wildcards. Each has room of its own, so that pods,
	// which have one listener, cannot shut out the kubelet, which has another.
	Listeners []net.Listener
	// Authorities are the cluster's. A server that they did not certify for kubernetes.default.svc is none of the cluster.
	Authorities *x509.CertPool
	// Files keep what is known of the servers at Path.
	Files Files
	Path  string
	// Fetcher is asked while no server is ready; nil for nobody.
	Fetcher Fetcher
	// Connections bounds the connections of each listener; 0 stands for DefaultConnections.
	Connections int
	// Inherited are what HandOver of the process before returned.
	Inherited []Pair
	// Log gets changes of health and of the list; nil for none.
	Log *slog.Logger
}

// Files are what the proxy needs of host.Files.
type Files interface {
	// Read returns a file's content; a missing one is fs.ErrNotExist.
	Read(ctx context.Context, path string) ([]byte, error)
	// Write replaces the file atomically and durably.
	Write(ctx context.Context, path string, content io.Reader, mode fs.FileMode) error
}

// Fetcher asks a control plane node, by other means than its API server, for the list that it knows.
type Fetcher interface {
	Fetch(ctx context.Context, node netip.Addr) (endpoint.List, error)
}

// Proxy forwards connections. It is safe for concurrent use.
type Proxy struct {
	options   Options
	timing    timing
	newProber func(netip.AddrPort) prober
	log       *slog.Logger
	budget    *rate.Limiter
	own       map[netip.AddrPort]bool // what the listeners listen on

	// saving is held while the file is written, so that files are written in order.
	saving sync.Mutex

	// mu guards what follows.
	mu      sync.Mutex
	known   endpoint.Known
	problem error // why the file is not what is known
	targets map[netip.AddrPort]*target
	strays  *target                                        // has the inherited connections whose server is none of targets
	spawn   func(func(context.Context)) context.CancelFunc // nil while Serve does not run
	accepts int                                            // listeners that still accept
	open    map[netip.AddrPort]int                         // connections by listener
	full    int64                                          // connections that found no room
	lost    int64                                          // connections that found no server
	passing bool                                           // connections are being handed over
	passed  []Pair                                         // those that were, or were inherited and not taken on yet
	left    sync.Cond                                      // accepts or open shrank
}

// New reads what the node knows of the API servers. A missing file is no error, and a damaged one is not yet: a list may
// be offered before Serve.
func New(ctx context.Context, options Options) *Proxy {
	p := newProxy(options, defaultTiming())
	p.load(ctx)
	return p
}

func newProxy(options Options, timing timing) *Proxy {
	if options.Connections == 0 {
		options.Connections = DefaultConnections
	}
	p := &Proxy{
		options: options, timing: timing, log: options.Log,
		budget:  rate.NewLimiter(rate.Every(timing.refill), timing.burst),
		own:     map[netip.AddrPort]bool{},
		targets: map[netip.AddrPort]*target{},
		strays:  newTarget(netip.AddrPort{}, place{}),
		open:    map[netip.AddrPort]int{},
		passed:  options.Inherited,
	}
	p.left.L = &p.mu
	p.newProber = func(address netip.AddrPort) prober { return newReadyz(address, options.Authorities, timing) }
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	for _, listener := range options.Listeners {
		p.own[addrPort(listener.Addr())] = true
	}
	p.arrange()
	return p
}

// Serve forwards until ctx ends, then resets the connections that are still open. It fails at once when no API server is
// known (fault.NoAPIServerKnown), for nobody could tell it one later. Drain or HandOver before the end of ctx spare the connections.
func (p *Proxy) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	if err := p.begin(ctx, &all); err != nil {
		return err
	}
	all.Go(func() { p.tend(ctx) })
	all.Go(func() { p.ask(ctx) })
	for _, listener := range p.options.Listeners {
		all.Go(func() { p.accept(ctx, &all, listener) })
	}
	<-ctx.Done()
	p.end()
	all.Wait()
	return nil
}

// begin starts a monitor for each target, and from now on for each that comes.
func (p *Proxy) begin(ctx context.Context, all *sync.WaitGroup) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.targets) == 0 {
		return errors.Join(fault.New(fault.NoAPIServerKnown, "start API proxy: no API server is known from %s", p.options.Path), p.problem)
	}
	p.spawn = func(run func(context.Context)) context.CancelFunc {
		ctx, cancel := context.WithCancel(ctx)
		all.Go(func() { run(ctx) })
		return cancel
	}
	for _, t := range p.targets {
		p.watch(t)
	}
	for _, pair := range p.passed {
		all.Go(p.inherit(pair))
	}
	p.passed, p.accepts = nil, len(p.options.Listeners)
	return nil
}

// end resets what is open; what is being opened finds that Serve does not run any more.
func (p *Proxy) end() {
	p.closeListeners()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spawn = nil
	for f := range p.flows() {
		f.abort()
	}
}

func (p *Proxy) closeListeners() {
	for _, listener := range p.options.Listeners {
		_ = listener.Close() // it may be closed already
	}
}

// addrPort is the address of a TCP listener or connection; the zero AddrPort for others.
func addrPort(address net.Addr) netip.AddrPort {
	tcp, isTCP := address.(*net.TCPAddr)
	if !isTCP {
		return netip.AddrPort{}
	}
	out := tcp.AddrPort()
	return netip.AddrPortFrom(out.Addr().Unmap(), out.Port())
}

// pause waits; it says whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
