package scale

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/daemon/nodeagent"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/dropin"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/host/hosttest"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// perSecond is how many machines come to life in a second, as after a power cut.
const perSecond = 25

// fleet is many node agents, each with a machine in memory.
type fleet struct {
	agents []nodeagent.Options

	mu    sync.Mutex
	ended []error
	log   bytes.Buffer // of the first one
}

// Write takes lines of a log.
func (f *fleet) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

// makeFleet makes Nodes and machines, on which no agent runs yet.
func (a *api) makeFleet(t *testing.T, c *cluster.Cluster, number int) *fleet {
	t.Helper()
	out := &fleet{}
	for i := range number {
		log := slog.New(slog.DiscardHandler)
		if i == 0 {
			log = slog.New(slog.NewTextHandler(out, nil))
		}
		node := cluster.Node{
			Name: fmt.Sprintf("worker-%d", i+1), Pool: workers(c).Name, Architecture: "amd64",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 250, byte(1 + i/250), byte(1 + i%250)})},
		}
		a.makeNode(t, node, nil)
		machine := *a.machine(t, c, node).Host()
		machine.Images = whole{machine.Images, machine.Files}
		out.agents = append(out.agents, nodeagent.Options{
			Host: &machine, Log: log, Supply: nothing{},
			Proxy:   func(context.Context, endpoint.List) error { return nil },
			Probe:   func(context.Context, string) error { return nil },
			Renewal: func(context.Context) (string, error) { return "", errors.New("nobody renews here") },
		})
	}
	return out
}

// start brings the agents to life, and ends them with the test.
func (f *fleet) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	t.Cleanup(func() {
		cancel()
		group.Wait() //nolint:errcheck // always nil
		if t.Failed() {
			t.Logf("the first agent:\n%s", f.log.String())
		}
	})
	for _, one := range f.agents {
		group.Go(func() error { f.live(ctx, one); return nil })
		time.Sleep(time.Second / perSecond)
	}
}

// live starts the agent again when it says so, as systemd does.
func (f *fleet) live(ctx context.Context, options nodeagent.Options) {
	for ctx.Err() == nil {
		if err := nodeagent.Run(ctx, options); err != nil && !errors.Is(err, nodeagent.ErrRestart) {
			f.mu.Lock()
			f.ended = append(f.ended, err)
			f.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// check fails for agents that ended with an error.
func (f *fleet) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, err := range f.ended[:min(len(f.ended), 5)] {
		t.Errorf("one of %d agents that ended: %v", len(f.ended), err)
	}
}

// machine is a machine as join leaves it to the agent.
func (a *api) machine(t *testing.T, c *cluster.Cluster, node cluster.Node) *hosttest.Fake {
	t.Helper()
	who := a.user(t, "gardener.cloud:node-agent:machine:"+node.Name, "gardener.cloud:node-agents", secret.NodeAgentPoolGroup(node.Pool))
	key, err := osc.Key(c, workers(c))
	check(t, err)
	identity, err := dropin.EncodeNode(node)
	check(t, err)
	kubeconfig, err := who.KubeConfig()
	check(t, err)
	config, err := yaml.Marshal(map[string]any{
		"apiVersion": "nodeagent.config.gardener.cloud/v1alpha1", "kind": "NodeAgentConfiguration",
		"controllers": map[string]any{"operatingSystemConfig": map[string]any{"secretName": key, "kubernetesVersion": c.KubeletVersion(workers(c)), "syncPeriod": "30s"}},
	})
	check(t, err)
	parsed, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	check(t, err)

	fake := hosttest.New()
	facts, err := fake.Host().Prober.Probe(t.Context())
	check(t, err)
	facts.HostName = node.Name
	fake.SetFacts(facts)
	const once = "[Service]\nType=oneshot\nRemainAfterExit=yes\n" // what a machine's own units are to the agent
	for path, content := range map[string][]byte{
		"/usr/lib/systemd/system/" + layout.UnitSysctl: []byte(once), "/usr/lib/systemd/system/" + layout.UnitJournald: []byte(once),
		layout.FileNode: identity, layout.FileAgentConfig: config, layout.FileAgentKubeconfig: kubeconfig, layout.FileClusterCA: parsed.CAData,
		layout.FileAgentCert: append(append([]byte{}, parsed.CertData...), parsed.KeyData...),
	} {
		check(t, fake.Host().Files.Write(t.Context(), path, bytes.NewReader(content), fs.FileMode(0o600)))
	}
	return fake
}

// whole has all images that the machine is to have: what is measured is the agents and not their mirrors.
type whole struct {
	host.Images
	files host.Files
}

// List returns them, as the configuration names them.
func (w whole) List(ctx context.Context) ([]host.Image, error) {
	raw, err := w.files.Read(ctx, layout.FileImages)
	if err != nil {
		return nil, err
	}
	wanted, err := image.DecodeWanted(raw)
	if err != nil {
		return nil, err
	}
	var out []host.Image
	for _, one := range wanted {
		names, err := host.ImageNames(one.Image, one.Digest)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out = append(out, host.Image{Name: name, Digest: one.Digest, Pinned: true})
		}
	}
	return out, nil
}

// nothing supplies files of a few bytes, and no images.
type nothing struct{}

// Digest is the same for all.
func (nothing) Digest(context.Context, string) (string, error) {
	return "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", nil
}

// Extract gives each file its own name as content.
func (nothing) Extract(_ context.Context, _ string, paths []string, to func(string, io.Reader) error) error {
	for _, path := range paths {
		if err := to(path, bytes.NewReader([]byte(path))); err != nil {
			return err
		}
	}
	return nil
}

// Pull does nothing.
func (nothing) Pull(context.Context, []image.Wanted) error { return nil }
