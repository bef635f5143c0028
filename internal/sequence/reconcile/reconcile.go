// Package reconcile turns a cluster whose API answers into the cluster that its Shoot describes; one graph for init and day 2.
// Used by sequence (init), and later by the gardenlet.
package reconcile

import (
	"context"
	"time"

	"github.com/gardenadm/gardenadm/internal/flow"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/catalog"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/step/apistep"
)

const (
	// nodeWait is for the kubelet to register and for the pod network; settleWait for pods to start on a slow machine.
	nodeWait   = 3 * time.Minute
	settleWait = 5 * time.Minute
	// configureWait is longer than a node agent tries a control plane that does not answer.
	configureWait = 8 * time.Minute
	requestTry    = time.Minute
	pollEvery     = 250 * time.Millisecond
)

// Input is all that reconciling reads.
type Input struct {
	component.Input
	API *kube.Client
	// Node is the control plane node whose kubelet and static pods are waited for.
	Node cluster.Node
	// Explain makes a wait find out why it lasts; nil leaves it as it is. Who runs on the host that is waited for knows more than the API.
	Explain func(wait func(context.Context) error) func(context.Context) error
}

// Graph declares the work.
func Graph(in Input) *flow.Graph {
	g := flow.New("reconcile")
	step := func(run func(context.Context) error, within time.Duration) flow.Step {
		return flow.Do(run).Retry(within, pollEvery)
	}

	keep := g.Add("keep secrets in the API", step(in.keepSecrets, requestTry))
	label := g.Add("label the control plane node", step(in.labelNode, nodeWait), keep)
	serving := g.Add("wait for the kubelet's serving certificate", step(in.explained(in.waitServing), nodeWait), label)
	define := g.Add("keep the definition in the API", step(in.keepDefinition, requestTry), keep)
	g.Add("publish whom to trust", step(in.publishInfo, requestTry), keep)

	announce := g.Add("announce what is applied", step(in.announce, requestTry), keep)
	var applied []*flow.Task
	for _, part := range catalog.All() {
		if part.Objects != nil {
			applied = append(applied, g.Add("apply "+part.Name, step(in.apply(part), requestTry), announce))
		}
	}
	node := g.Add("wait for the node", step(in.explained(in.waitNode), nodeWait), append(applied, serving)...)
	configured := g.Add("wait for the node's configuration", step(in.explained(in.waitConfigured), configureWait), define, node)
	g.Add("wait for the components", step(in.explained(in.waitComponents), settleWait), configured)
	g.Add("prune what left the catalog", step(in.prune, requestTry), applied...)
	return g
}

func (in Input) explained(wait func(context.Context) error) func(context.Context) error {
	if in.Explain == nil {
		return wait
	}
	return in.Explain(wait)
}

func (in Input) keepSecrets(ctx context.Context) error {
	return apistep.KeepSecrets(ctx, in.API, in.Secrets)
}

func (in Input) publishInfo(ctx context.Context) error {
	return apistep.PublishInfo(ctx, in.API, in.Secrets, in.Node)
}

func (in Input) labelNode(ctx context.Context) error {
	return apistep.LabelControlPlane(ctx, in.API, in.Cluster.ControlPlane, in.Node)
}

func (in Input) waitServing(ctx context.Context) error {
	return apistep.WaitServing(ctx, in.API, in.Node)
}

func (in Input) keepDefinition(ctx context.Context) error {
	return apistep.KeepDefinition(ctx, in.API, in.Cluster, in.Images)
}

func (in Input) announce(ctx context.Context) error {
	objects, err := catalog.Objects(in.Input)
	if err != nil {
		return flow.Permanent(err)
	}
	return apistep.Announce(ctx, in.API, objects)
}

func (in Input) prune(ctx context.Context) error {
	objects, err := catalog.Objects(in.Input)
	if err != nil {
		return flow.Permanent(err)
	}
	return apistep.Prune(ctx, in.API, objects)
}

func (in Input) apply(part component.Component) func(context.Context) error {
	return func(ctx context.Context) error {
		objects, err := catalog.ObjectsOf(part, in.Input)
		if err != nil {
			return flow.Permanent(err) // rendering is pure: it would only fail again
		}
		return apistep.Apply(ctx, in.API, objects)
	}
}

func (in Input) waitNode(ctx context.Context) error { return apistep.WaitNode(ctx, in.API, in.Node) }

func (in Input) waitConfigured(ctx context.Context) error {
	return apistep.WaitConfigured(ctx, in.API, in.Cluster, in.Images, in.Node)
}

func (in Input) waitComponents(ctx context.Context) error {
	objects, err := catalog.Objects(in.Input)
	if err != nil {
		return flow.Permanent(err)
	}
	pods, err := catalog.StaticPods(in.Input, in.Node)
	if err != nil {
		return flow.Permanent(err)
	}
	var mirrors []string
	for _, pod := range pods {
		mirrors = append(mirrors, pod.Name+"-"+in.Node.Name)
	}
	return apistep.WaitComponents(ctx, in.API, objects, mirrors)
}
