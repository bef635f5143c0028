package sequence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"

	"github.com/gardenadm/gardenadm/internal/bundle"
	"github.com/gardenadm/gardenadm/internal/bundle/demand"
	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/node/host"
	"github.com/gardenadm/gardenadm/internal/node/record"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
	"github.com/gardenadm/gardenadm/internal/sequence/reconcile"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// Init is the story of the first control plane node: the inputs, and what one task leaves for the next.
type Init struct {
	Host *host.Host
	// Bundle has been checked, and nothing of it is on this machine yet.
	Bundle *bundle.Origin
	// Manifests are what the cluster is made of; nil stands for those that an earlier run kept, else for the built-in ones.
	Manifests *manifest.Set
	// Zone is the machine's zone; empty where the control plane's pool has at most one.
	Zone string
	// NodeIP is the machine's address in the cluster; the zero Addr lets the rules choose.
	NodeIP netip.Addr
	// SkipChecks names checks of the machine that are not made.
	SkipChecks []string
	// Program is the path of the running gardenadm.
	Program string
	// Secrets keeps what is issued until the API has it; nil stands for the directory layout.DirSecrets.
	Secrets secret.Store

	Machine hoststep.Machine
	Cluster *cluster.Cluster
	Node    cluster.Node

	before  *record.Record // what the machine was; nil when that is kept already
	files   *bundle.Bundle // the unpacked bundle
	secrets secret.Set
	config  *extensionsv1alpha1.OperatingSystemConfig
	api     *kube.Client
	// answered: the API server answered before this run did anything; began is when it did.
	answered bool
	began    time.Time
}

// Unchanged says, after Run, that the cluster was there already and nothing had to be changed.
func (i *Init) Unchanged() bool { return i.answered && i.api.Changes() == 0 }

func (i *Init) takeRecord(ctx context.Context) (err error) {
	i.before, err = record.Prepare(ctx, i.Host)
	return err
}

func (i *Init) keepRecord(ctx context.Context) error { return record.Save(ctx, i.Host, i.before) }

// check finds out what this machine is; nothing is changed.
func (i *Init) check(ctx context.Context) (err error) {
	// What is wrong with manifests and bundle is told before anything about the machine: it is so on every machine.
	wanted, err := i.wanted(ctx)
	if err != nil {
		return err
	}
	if err := i.bundleFits(wanted); err != nil {
		return err
	}
	if i.Machine, err = hoststep.Check(ctx, i.Host, hoststep.CheckInput(wanted, i.NodeIP, i.SkipChecks)); err != nil {
		return err
	}
	if i.Manifests != nil { // the built-in ones take the machine's network
		_, err = i.Machine.Node(wanted, i.Zone)
	}
	return err
}

// Warnings tells what is allowed about the manifests and worth knowing; the error is what is wrong with them. Nothing is changed.
func (i *Init) Warnings(ctx context.Context) ([]string, error) {
	wanted, err := i.wanted(ctx)
	if err != nil {
		return nil, err
	}
	return wanted.Warnings, nil
}

// wanted is the cluster of the manifests, as far as it does not depend on this machine.
func (i *Init) wanted(ctx context.Context) (*cluster.Cluster, error) {
	if err := i.findManifests(ctx); err != nil {
		return nil, err
	}
	set := manifest.Builtin(manifest.DefaultNodes())
	if i.Manifests != nil {
		set = *i.Manifests
	}
	return cluster.New(set, "")
}

// bundleFits refuses a bundle that lacks what the cluster needs: without a network it would be found out in the middle.
func (i *Init) bundleFits(c *cluster.Cluster) error {
	needed, err := demand.Images(c)
	if err != nil {
		return err
	}
	var names []string
	for _, image := range needed {
		names = append(names, image.Name)
	}
	return i.Bundle.Fits(c.KubernetesVersion(), names)
}

// findManifests goes on with those of an earlier run when none are given.
func (i *Init) findManifests(ctx context.Context) error {
	if i.Manifests != nil {
		return nil
	}
	kept, ok, err := hoststep.KeptManifests(ctx, i.Host)
	if ok {
		i.Manifests = &kept
	}
	return err
}

// makeCluster makes the cluster of the manifests; the built-in ones take the network of the machine's address.
func (i *Init) makeCluster(uid string) (err error) {
	if i.Manifests == nil {
		set := manifest.Builtin(i.Machine.Network())
		i.Manifests = &set
	}
	if i.Cluster, err = cluster.New(*i.Manifests, uid); err != nil {
		return err
	}
	i.Node, err = i.Machine.Node(i.Cluster, i.Zone)
	return err
}

// givenUID is the identity that the manifests bring; empty for none.
func (i *Init) givenUID() string {
	if i.Manifests == nil {
		return ""
	}
	return string(i.Manifests.Shoot.Status.UID)
}

// identify makes the cluster from the manifests and the identity that is kept on disk.
func (i *Init) identify(ctx context.Context) error {
	uid, err := hoststep.ClusterUID(ctx, i.Host, i.givenUID())
	if err != nil {
		return err
	}
	return i.makeCluster(uid)
}

// keepManifests makes a later run without manifests go on with the same ones.
func (i *Init) keepManifests(ctx context.Context) error {
	return hoststep.KeepManifests(ctx, i.Host, *i.Manifests)
}

// lookForAPI connects with the administrator's kubeconfig when an earlier run left one. A finished cluster, whose secrets are in its API,
// may just have been powered on: its API server is waited for. An unfinished one is gone on with.
func (i *Init) lookForAPI(ctx context.Context) error {
	raw, err := i.Host.Files.Read(ctx, layout.FileAdminKubeconfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", layout.FileAdminKubeconfig, err)
	}
	api, err := kube.New(raw)
	if err != nil {
		return flow.Permanent(err)
	}
	notReady := api.Ready(ctx)
	if notReady == nil {
		i.api, i.answered, i.began = api, true, time.Now()
		return i.checkUpdate(ctx)
	}
	kept, err := i.secretStore().Load(ctx)
	if err != nil {
		return flow.Permanent(err)
	}
	wanted, err := i.wantedSecrets()
	if err != nil {
		return flow.Permanent(err)
	}
	if hoststep.HasIrreplaceable(kept, wanted) {
		return flow.Permanent(hoststep.SameManifests(ctx, i.Host, *i.Manifests))
	}
	return fault.New(fault.SecretsInAPI, "%w: %w", hoststep.ErrControlPlaneWithoutSecrets, notReady)
}

// apiAnswers ends Boot: from then on only the node agent writes host state.
func (i *Init) apiAnswers(context.Context) (string, error) {
	if i.api != nil {
		return "the API server answers already", nil
	}
	return "", nil
}

func (i *Init) nodes() []cluster.Node { return []cluster.Node{i.Node} }

func (i *Init) wantedSecrets() ([]secret.Spec, error) {
	specs, err := pool.Secrets(i.Cluster, i.nodes())
	if err != nil {
		return nil, err
	}
	return secret.Merge(specs, hoststep.KubeletSecrets(i.Node), hoststep.AgentSecrets(i.Node))
}

func (i *Init) secretStore() secret.Store {
	if i.Secrets != nil {
		return i.Secrets
	}
	return secret.Directory{Path: layout.DirSecrets}
}

func (i *Init) issue(ctx context.Context) error {
	specs, err := i.wantedSecrets()
	if err != nil {
		return err
	}
	i.secrets, err = hoststep.IssueSecrets(ctx, i.Host, i.secretStore(), specs)
	return err
}

func (i *Init) render(context.Context) (err error) {
	i.config, err = hoststep.Render(i.renderInput(), i.nodes(), i.Cluster.ControlPlane)
	return err
}

func (i *Init) renderInput() component.Input {
	return component.Input{Cluster: i.Cluster, Images: i.Bundle.Vector(), Secrets: i.secrets}
}

func (i *Init) installProgram(ctx context.Context) error {
	return hoststep.InstallProgram(ctx, i.Host, i.Program)
}

// seedEndpoints comes before the endpoint proxy starts, which everything on this machine reaches the API server by.
func (i *Init) seedEndpoints(ctx context.Context) error {
	_, err := hoststep.SeedEndpoints(ctx, i.Host, hoststep.APIServer(i.Node))
	return err
}

func (i *Init) startRuntime(ctx context.Context) error {
	return i.settings().StartRuntime(ctx)
}

// unpackBundle puts the blobs of a bundle in one file where they can be read one by one; a killed run's are gone on with.
func (i *Init) unpackBundle(ctx context.Context) (err error) {
	i.files, err = i.Bundle.Unpack(ctx, layout.DirBundle)
	return err
}

func (i *Init) importImages(ctx context.Context) error {
	return hoststep.ImportImages(ctx, i.Host, i.files)
}

// keepImages brings what the control plane's start does not wait for: images that are for other nodes, and, when the API server answers
// already, those of a newer bundle or that somebody removed.
func (i *Init) keepImages(ctx context.Context) error {
	_, err := hoststep.KeepImages(ctx, i.Host, i.Bundle.Contents, func(ctx context.Context) (*bundle.Bundle, error) {
		if i.files != nil {
			return i.files, nil
		}
		return i.Bundle.Unpack(ctx, layout.DirBundle)
	})
	return err
}

func (i *Init) makeEtcdData(ctx context.Context) error {
	return hoststep.MakeEtcdData(ctx, i.Host, i.Cluster, i.Node)
}

func (i *Init) identifyKubelet(ctx context.Context) error {
	return hoststep.IdentifyKubelet(ctx, i.Host, i.Cluster, i.Node, i.secrets)
}

func (i *Init) identifyAgent(ctx context.Context) error {
	return hoststep.IdentifyAgent(ctx, i.Host, i.Cluster, i.Node, i.secrets)
}

func (i *Init) startNode(ctx context.Context) error {
	return i.settings().StartNode(ctx)
}

func (i *Init) settings() hoststep.Settings {
	return hoststep.Settings{Host: i.Host, Source: i.files, Config: i.config, Facts: i.Machine.Facts, Node: i.Node}
}

// waitAPI connects and waits until the API server is ready. The first time, only a certificate made here has any rights.
func (i *Init) waitAPI(ctx context.Context) error {
	if i.api == nil {
		raw, err := hoststep.BootstrapKubeconfig(ctx, i.Cluster, i.secrets)
		if err != nil {
			return flow.Permanent(err)
		}
		api, err := kube.New(raw)
		if err != nil {
			return flow.Permanent(err)
		}
		if err := api.Ready(ctx); err != nil {
			return err
		}
		i.api = api
	}
	return i.loadSecrets(ctx)
}

// loadSecrets reads the issued secrets when Boot had nothing to do: from the disk, where an unfinished run left them, else from the API.
// A part of them on disk is what a run left that was stopped while it forgot them: the API has all of them then.
func (i *Init) loadSecrets(ctx context.Context) error {
	if len(i.secrets) > 0 {
		return nil
	}
	onDisk, err := i.secretStore().Load(ctx)
	if err != nil {
		return fmt.Errorf("load secrets from disk: %w", err)
	}
	wanted, err := i.wantedSecrets()
	if err != nil {
		return flow.Permanent(err)
	}
	if len(onDisk.Select(wanted)) == len(wanted) {
		i.secrets = onDisk
		raw, err := hoststep.BootstrapKubeconfig(ctx, i.Cluster, i.secrets)
		if err != nil {
			return err
		}
		i.api, err = kube.New(raw) // the administrator's role may not have been applied yet
		return err
	}
	i.secrets, err = hoststep.SecretsOfCluster(ctx, kube.SecretStore{Client: i.api}, wanted)
	return err
}

// Reconcile declares what makes the cluster whole through its API.
func (i *Init) Reconcile() *flow.Graph {
	return reconcile.Graph(reconcile.Input{
		Input: i.renderInput(), API: i.api, Node: i.Node,
		Explain: func(wait func(context.Context) error) func(context.Context) error {
			if i.answered {
				return i.changed(wait)
			}
			return i.diagnosed(diagnosis.All, wait)
		},
	})
}

// changed explains a wait of a run that changes a cluster. An API server that ends with its new settings is no reason to give up: the node
// agent goes back to the former ones, and says why.
func (i *Init) changed(wait func(context.Context) error) func(context.Context) error {
	explained := i.diagnosed(diagnosis.All, wait)
	away := &diagnosis.Watch{Scope: diagnosis.Control}
	return func(ctx context.Context) error {
		if back := hoststep.WentBack(ctx, i.Host, i.began); back != nil {
			return flow.Permanent(back)
		}
		if err := i.api.Ready(ctx); err != nil {
			if found, _ := away.Look(ctx, i.Host); found != nil {
				return fmt.Errorf("%w: %w", err, found)
			}
			return err
		}
		return explained(ctx)
	}
}

func (i *Init) forgetSecrets(ctx context.Context) error { return hoststep.ForgetSecrets(ctx, i.Host) }

// forgetBundle removes what was unpacked: containerd has the images now, and the host its programs.
func (i *Init) forgetBundle(ctx context.Context) error {
	return i.Host.Files.Remove(ctx, layout.DirBundle)
}

func (i *Init) setUpShell(ctx context.Context) error { return hoststep.SetUpShell(ctx, i.Host) }
