package sequence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/flow"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/drain"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/step/hoststep"
)

// ask connects to the cluster, and refuses what would orphan other nodes.
func (r *Reset) ask(ctx context.Context) (err error) {
	if r.name, err = hoststep.NodeName(ctx, r.Host); err != nil {
		return err
	}
	if r.credentials, err = hoststep.FindCredentials(ctx, r.Host); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, oneAsk, fmt.Errorf("no answer within %v", oneAsk))
	defer cancel()
	if r.credentials.Admin != nil {
		return r.askForOthers(ctx)
	}
	if len(r.credentials.Node) == 0 {
		r.withoutCredentials(ctx)
		return nil
	}
	var kubelet error // what speaks against its credentials, which may do more than the node agent's
	for _, kubeconfig := range r.credentials.Node {
		api, err := r.connect(ctx, kubeconfig)
		if err == nil {
			err = api.Get(ctx, client.ObjectKey{Name: r.name}, &corev1.Node{})
		}
		if err == nil || apierrors.IsNotFound(err) {
			r.api, r.member = api, err == nil
			return nil
		}
		kubelet = cmp.Or(kubelet, err)
	}
	return kubelet
}

// withoutCredentials: a machine that has joined and lost its kubeconfigs cannot ask any more. One on which init or join had not come so
// far has no Node.
func (r *Reset) withoutCredentials(ctx context.Context) {
	has := func(file string) bool {
		_, err := r.Host.Files.Stat(ctx, file)
		return !errors.Is(err, fs.ErrNotExist) // what cannot be told may be there
	}
	if has(layout.FileNode) && !has(layout.FileShootUID) {
		r.unasked(errors.New("this machine has no kubeconfig"))
	}
}

// askForOthers refuses to take the only control plane node from other nodes.
func (r *Reset) askForOthers(ctx context.Context) error {
	api, err := r.connect(ctx, r.credentials.Admin)
	if err != nil {
		return err
	}
	list := &corev1.NodeList{}
	if err := api.List(ctx, list); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	var others []string
	for _, node := range list.Items {
		if node.Name != r.name {
			others = append(others, node.Name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	names := strings.Join(others, ", ")
	if !r.Force {
		return fault.New(fault.NodesLeft, "take the only control plane node from other nodes: %s", names)
	}
	r.undone("other nodes have no control plane any more: gardenadm reset on each of them: %s", names)
	return nil
}

// connect asks first whether the API server is ready: the client's own first question hangs where it is not.
func (r *Reset) connect(ctx context.Context, kubeconfig []byte) (client.Client, error) {
	if r.Connect != nil {
		return r.Connect(kubeconfig)
	}
	api, err := kube.New(kubeconfig)
	if err != nil {
		return nil, err
	}
	return api, api.Ready(ctx)
}

// drained moves the pods elsewhere. With force, those that do not leave in time end with the machine.
func (r *Reset) drained() flow.Step {
	step := flow.Do(r.drain).Retry(r.Timeout, drainEvery)
	if r.Force {
		return patient(step, r.unmoved)
	}
	return step
}

func (r *Reset) drain(ctx context.Context) error {
	work := drain.Drain{API: r.api, Node: r.name, Force: r.Force}
	err := work.Cordon(ctx)
	if err == nil {
		err = work.Evict(ctx)
	}
	// Only the node agent's certificate is still good: it may not cordon, nor list pods. That a pod may not go is no such error.
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		r.unmoved(err)
		return nil
	}
	return err
}

func (r *Reset) leave(ctx context.Context) error {
	return drain.Leave(ctx, r.api, r.name)
}
