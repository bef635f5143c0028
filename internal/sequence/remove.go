package sequence

import (
	"context"
	"fmt"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	"github.com/gardenadm/gardenadm/internal/kube/drain"
	"github.com/gardenadm/gardenadm/internal/kube/token"
)

// Remove is the story of a node that leaves its cluster while its machine is elsewhere, or lost.
type Remove struct {
	API  client.Client
	Node string
	// Force removes a node that does not answer, loses pods that cannot run elsewhere, and ends those that do not leave in time.
	Force bool
	// Timeout is how long pods may take to leave.
	Timeout time.Duration

	missing bool // the cluster has no such Node
	away    bool // its kubelet does not report
}

// Missing says, after Run, that the cluster had no such node.
func (r *Remove) Missing() bool { return r.missing }

// Answered says, after Run, that the machine was on.
func (r *Remove) Answered() bool { return !r.missing && !r.away }

// Run runs the story. It can be run again at any time.
func (r *Remove) Run(ctx context.Context, o flow.Observer) error { return r.Graph().Run(ctx, o) }

// Graph declares the work.
func (r *Remove) Graph() *flow.Graph {
	g := flow.New("remove")
	drained := flow.Do(r.drain).Retry(r.Timeout, drainEvery)
	if r.Force {
		drained = patient(drained, func(error) {}) // the next task ends them
	}
	look := g.Add("look at the node", flow.Do(r.look))
	moved := g.Add("move its pods elsewhere", drained.Unless(r.notDrainable), look)
	ended := g.Add("end the pods that are left", flow.Do(r.work().Delete).Unless(r.notForced), moved)
	left := g.Add("take the node out of the cluster", flow.Do(r.leave).Retry(leaveWait, leaveEvery), ended)
	g.Add("delete the tokens for this node alone", flow.Do(r.deleteTokens), left)
	return g
}

func (r *Remove) work() drain.Drain { return drain.Drain{API: r.API, Node: r.Node, Force: r.Force} }

// look refuses what cannot be removed, or not without force.
func (r *Remove) look(ctx context.Context) error {
	node := &corev1.Node{}
	err := r.API.Get(ctx, client.ObjectKey{Name: r.Node}, node)
	if apierrors.IsNotFound(err) {
		r.missing = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("get node %s: %w", r.Node, err)
	}
	if _, ok := node.Labels[constants.LabelNodeRoleControlPlane]; ok {
		return fault.New(fault.ControlPlaneMember, "remove node %s: it runs the control plane", r.Node)
	}
	if r.away = !reports(node); r.away && !r.Force {
		return fault.New(fault.NodeAway, "remove node %s: it is not Ready", r.Node).
			Mend("switch its machine off, or bring it back; then gardenadm node remove %s --force", r.Node)
	}
	return nil
}

func reports(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (r *Remove) notDrainable(context.Context) (string, error) {
	switch {
	case r.missing:
		return "the cluster has no such node", nil
	case r.away:
		return "the node does not answer", nil
	}
	return "", nil
}

func (r *Remove) notForced(context.Context) (string, error) {
	if !r.Force {
		return "none is", nil
	}
	return "", nil
}

func (r *Remove) drain(ctx context.Context) error {
	if err := r.work().Cordon(ctx); err != nil {
		return err
	}
	return r.work().Evict(ctx)
}

func (r *Remove) leave(ctx context.Context) error { return drain.Leave(ctx, r.API, r.Node) }

// deleteTokens keeps the machine from coming back with a token that was made for it.
func (r *Remove) deleteTokens(ctx context.Context) error {
	store := token.Store{API: r.API}
	tokens, err := store.List(ctx)
	if err != nil {
		return err
	}
	for _, one := range tokens {
		if one.Binding.Node != r.Node {
			continue
		}
		if err := store.Delete(ctx, one.ID); err != nil && !apierrors.IsNotFound(err) { // it may have ended meanwhile
			return err
		}
	}
	return nil
}
