package sequence

import (
	"context"
	"net/netip"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/flow"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/offer"
	"github.com/gardenadm/gardenadm/internal/node/agent"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/preflight"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

const (
	requestWait = 30 * time.Second
	// decisionWait is for the gardenlet, which may just be electing another leader.
	decisionWait = 2 * time.Minute
	// decisionTry bounds one try, so that a wait says what it waits for.
	decisionTry = 5 * time.Second
	// readyWait and appliedWait are those of contract node-agent-and-osc §8.
	readyWait   = 5 * time.Minute
	appliedWait = 10 * time.Minute
)

// Join is the story of a machine that becomes a node of a cluster that is there: the inputs, and what one task leaves for the next.
type Join struct {
	Host *host.Host
	// Addresses of API servers of the cluster, at least one.
	Addresses []netip.AddrPort
	// Trust says whom to believe, and holds the token, which is never written to the disk.
	Trust token.Trust
	// Pool is the worker pool; empty stands for the first one. Zone is empty where the pool has at most one.
	Pool, Zone string
	// NodeIP is the machine's address in the cluster; the zero Addr lets the rules choose.
	NodeIP netip.Addr
	// SkipChecks names checks of the machine that are not made.
	SkipChecks []string
	// Program is the path of the running gardenadm.
	Program string
	Remote  Remote

	Machine hoststep.Machine
	Node    cluster.Node

	past      hoststep.Past
	found     token.Cluster
	authority []byte // of the cluster, PEM
	server    string // URL of the API server that is asked
	offer     offer.Offer
	pool      offer.Pool

	byToken, byAgent *kube.Client // byAgent is nil until there is a certificate
	// agent and kubelet are certificates of this run; nil where the machine has one.
	agent, kubelet       *apistep.Identity
	agentKey, kubeletKey request
	revived              bool
	known                endpoint.Known
	config               *extensionsv1alpha1.OperatingSystemConfig
	supply               Supply
}

// Remote is how join reaches others. A field that is nil stands for the network.
type Remote struct {
	Establish func(ctx context.Context, trust token.Trust, addresses []string) (token.Cluster, error)
	// Refused words why the cluster does not take the token.
	Refused func(ctx context.Context, trust token.Trust, in token.Cluster, cause error) error
	Connect func(kubeconfig []byte) (*kube.Client, error)
	Supply  func(known endpoint.Known, authority []byte) (Supply, error)
	Reach   preflight.Reach
}

// Supply gives the node its programs and images.
type Supply interface {
	agent.Source
	// Check refuses an image that is not for this machine's architecture.
	Check(ctx context.Context, image string) error
	// Pull imports those of the images that are missing, pinned.
	Pull(ctx context.Context, images host.Images, list []image.Wanted) error
}

// Unchanged says, after Run, that the machine was a node of the pool already and nothing had to be changed.
func (j *Join) Unchanged() bool { return j.past.Kept && !j.revived }

// Look declares what has to be known before anything is asked for. It changes nothing, here and in the cluster.
func (j *Join) Look() *flow.Graph {
	g := flow.New("look")
	trust := g.Add("trust the cluster", flow.Do(hoststep.Explained(j.trust)))
	read := g.Add("read what can be joined", flow.Do(hoststep.Explained(j.readOffer)).Retry(requestWait, tryAgain), trust)
	g.Add("check this machine", flow.Do(hoststep.Explained(j.check)), read)
	return g
}

// Join declares what makes this machine a node. Nothing is changed on it before the cluster has given it its certificates: keys stay in
// memory until then, and a run that was killed asks again with others. When the node agent works, the rest is up to it.
func (j *Join) Join() *flow.Graph {
	g := flow.New("join")
	do := func(run func(context.Context) error) flow.Step {
		return flow.Do(hoststep.Explained(run)).Unless(j.kept)
	}
	asked := func(run func(context.Context) error, unless func(context.Context) (string, error)) flow.Step {
		return flow.Do(hoststep.Explained(run)).Unless(unless).Retry(decisionWait, apiEvery)
	}

	agent := g.Add("ask for the node agent's certificate", asked(j.askAgent, j.hasAgent))
	// After the agent's, whose request names the pool: the kubelet's would use up a token that the agent is then refused with.
	kubelet := g.Add("ask for the kubelet's certificate", asked(j.askKubelet, j.hasKubelet), agent)
	config := g.Add("read the pool's configuration", do(j.readConfiguration).Retry(requestWait, tryAgain), agent)
	record := g.Add("record this machine", do(j.record), config, kubelet)
	program := g.Add("install gardenadm", do(j.installProgram), record)
	identity := g.Add("give the node its identity", do(j.identify), record)
	files := g.Add("lay the node's files", do(j.layFiles).Retry(imageWait, tryAgain), identity)
	runtime := g.Add("start the container runtime", flow.Do(j.diagnosed(diagnosis.Runtime, hoststep.Explained(j.startRuntime))).Unless(j.kept).Retry(unitWait, tryAgain), program, files)
	images := g.Add("import images", do(j.importImages).Retry(imageWait, tryAgain), runtime)
	node := g.Add("start the node", do(j.startNode).Retry(unitWait, tryAgain), images)
	// For a node that its agent keeps, this is all that is done.
	revived := g.Add("bring back a node that was deleted", flow.Do(hoststep.Explained(j.revive)).Unless(j.notKept).Retry(decisionWait, tryAgain), node)
	ready := g.Add("wait until the node is Ready", flow.Do(j.diagnosed(diagnosis.All, j.waitReady)).Retry(readyWait, apiEvery), revived)
	g.Add("wait until the node takes workload", flow.Do(j.diagnosed(diagnosis.All, j.waitUsable)).Retry(appliedWait, apiEvery), ready)
	return g
}

func (j *Join) diagnosed(scope diagnosis.Scope, wait func(context.Context) error) func(context.Context) error {
	return hoststep.Diagnosed(j.Host, scope, wait)
}

// Run runs the whole story. Only one command changes this machine at a time.
func (j *Join) Run(ctx context.Context, o flow.Observer) error {
	unlock, err := hoststep.Lock(ctx, j.Host)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	if err := hoststep.RemoveHalfWritten(ctx, j.Host); err != nil {
		return err
	}
	if err := j.Look().Run(ctx, o); err != nil {
		return err
	}
	return j.Join().Run(ctx, o)
}
