// Package sequence turns a command into its story: graphs of steps, run one after the other.
// Used by the commands in cli.
package sequence

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/kube/lease"
	"github.com/gardenadm/gardenadm/internal/node/diagnosis"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

const (
	// apiWait covers a slow disk and a slow machine; on two cores it takes seconds.
	apiWait   = 5 * time.Minute
	apiEvery  = 250 * time.Millisecond
	unitWait  = 2 * time.Minute
	tryAgain  = time.Second
	imageWait = 2 * time.Minute
)

// Boot declares what makes this machine's API server answer. It works on this host only and needs no API;
// it is over once the API server answers with this cluster's authority.
func (i *Init) Boot() *flow.Graph {
	g := flow.New("boot")
	do := func(run func(context.Context) error) flow.Step {
		return flow.Do(hoststep.Explained(run)).Unless(i.apiAnswers)
	}

	// The record is taken while the machine is checked, and kept before anything is changed.
	before := g.Add("record this machine", flow.Do(i.takeRecord))
	check := g.Add("check this machine", flow.Do(hoststep.Explained(i.check)))
	record := g.Add("keep the record of this machine", flow.Do(hoststep.Explained(i.keepRecord)), check, before)
	identity := g.Add("find the cluster's identity", flow.Do(hoststep.Explained(i.identify)), record)
	look := g.Add("look for the cluster's API server", flow.Do(i.diagnosed(diagnosis.Control, i.lookForAPI)).Retry(apiWait, apiEvery), identity)
	keep := g.Add("keep the manifests", do(i.keepManifests), look)
	secrets := g.Add("issue certificates", do(i.issue), keep)
	render := g.Add("render the node configuration", do(i.render), secrets)
	program := g.Add("install gardenadm", do(i.installProgram), look)
	endpoints := g.Add("say where the API servers are", do(i.seedEndpoints), look)
	unpack := g.Add("unpack the bundle", do(i.unpackBundle), look)
	runtime := g.Add("start the container runtime", flow.Do(i.diagnosed(diagnosis.Runtime, hoststep.Explained(i.startRuntime))).Unless(i.apiAnswers).Retry(unitWait, tryAgain), render, program, unpack, endpoints)
	images := g.Add("import images", do(i.importImages).Retry(imageWait, tryAgain), runtime)
	etcd := g.Add("make etcd's data directory", do(i.makeEtcdData), runtime)
	kubelet := g.Add("give the kubelet its identity", do(i.identifyKubelet), render)
	agent := g.Add("give the node agent its identity", do(i.identifyAgent), render)
	node := g.Add("start the kubelet and the control plane", do(i.startNode).Retry(unitWait, tryAgain), images, etcd, kubelet, agent)
	g.Add("keep the images for other nodes", flow.Do(i.keepImages).Retry(imageWait, tryAgain), node)
	g.Add("wait for the API server", flow.Do(i.diagnosed(diagnosis.Control, i.waitAPI)).Retry(apiWait, apiEvery), node)
	return g
}

// diagnosed makes a wait say what is wrong on this host, and end as soon as that is clear.
func (i *Init) diagnosed(scope diagnosis.Scope, wait func(context.Context) error) func(context.Context) error {
	return hoststep.Diagnosed(i.Host, scope, wait)
}

// Finish declares what is left to do on this host once the cluster is whole.
func (i *Init) Finish() *flow.Graph {
	g := flow.New("finish")
	g.Add("keep the cluster's manifests", flow.Do(i.keepManifests))
	g.Add("forget the secrets on disk", flow.Do(i.forgetSecrets))
	g.Add("forget the unpacked bundle", flow.Do(i.forgetBundle))
	g.Add("make kubectl work for root", flow.Do(i.setUpShell))
	return g
}

// Run runs the whole story: Boot, Reconcile until settled, Finish. Only one runs on this machine at a time.
func (i *Init) Run(ctx context.Context, o flow.Observer) error {
	unlock, err := hoststep.Lock(ctx, i.Host)
	if err != nil {
		return err
	}
	defer unlock() //nolint:errcheck // the lock ends with the process
	if err := hoststep.RemoveHalfWritten(ctx, i.Host); err != nil {
		return err
	}
	if err := i.Boot().Run(ctx, o); err != nil {
		return err
	}
	// With this machine's lock held, a holder of the same name is a killed run.
	only := lease.Lease{API: i.api, Namespace: metav1.NamespaceSystem, Name: "gardenadm-reconcile", Host: i.Node.Name, Process: hoststep.NewUUID()}
	err = only.Hold(ctx, func(ctx context.Context) error { return i.Reconcile().Run(ctx, o) })
	if errors.Is(err, lease.ErrLost) {
		return fault.New(fault.LeaseElsewhere, "reconcile: %w", lease.ErrLost)
	}
	if err != nil {
		return err
	}
	return i.Finish().Run(ctx, o)
}
