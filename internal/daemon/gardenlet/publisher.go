package gardenlet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	render "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

// publishEvery is how long what somebody else changed, or a new secret, may take until it is seen. The definition itself is watched.
const publishEvery = time.Minute

// labelControlPlane is given to Nodes by gardenadm; a kubelet may not set it itself.
const labelControlPlane = "node-role.kubernetes.io/control-plane"

// publisher keeps one Secret per pool with the configuration of its nodes.
type publisher struct {
	api *kube.Client
	log *slog.Logger
}

// pools watches the definition of the cluster.
func pools(api *kube.Client, log *slog.Logger) controller {
	return controller{
		name: "pools", object: &corev1.Secret{},
		list:      func() client.ObjectList { return &corev1.SecretList{} },
		options:   []client.ListOption{client.InNamespace(definition.Key().Namespace), client.MatchingFields{"metadata.name": definition.Key().Name}},
		trim:      func(object client.Object) { object.(*corev1.Secret).Data = nil },
		wanted:    func(client.Object) bool { return true },
		reconcile: publisher{api: api, log: log}.reconcile,
	}
}

// reconcile publishes the configurations of all pools. A pool that cannot be rendered keeps its last one.
func (p publisher) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	defined, err := definition.Load(ctx, p.api)
	if err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	c, err := defined.Cluster()
	if err != nil {
		return 0, fmt.Errorf("read definition of the cluster: %w", err)
	}
	secrets, err := kube.SecretStore{Client: p.api}.Load(ctx)
	if err != nil {
		return 0, err
	}
	in := component.Input{Cluster: c, Images: defined.Images, Secrets: secrets}
	controlPlane, err := p.controlPlane(ctx, secrets, c.ControlPlane)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, pool := range c.Pools {
		if err := p.publish(ctx, in, controlPlane, pool); err != nil {
			errs = append(errs, fmt.Errorf("publish configuration of pool %s: %w", pool.Name, err))
		}
	}
	return publishEvery, errors.Join(errs...)
}

func (p publisher) publish(ctx context.Context, in component.Input, controlPlane []cluster.Node, pool cluster.Pool) error {
	config, err := render.Config(in, controlPlane, pool)
	if err != nil {
		return err
	}
	object, err := osc.Secret(in.Cluster, pool, config)
	if err != nil {
		return err
	}
	before := p.api.Changes()
	if err := p.api.ApplyObjects(ctx, object); err != nil {
		return err
	}
	if p.api.Changes() != before {
		p.log.Info("configuration published", "pool", pool.Name, "secret", object.Name, "checksum", object.Annotations[osc.AnnotationChecksum], "bytes", len(object.Data[osc.DataKey]))
	}
	return nil
}

// controlPlane returns the nodes of the control plane by name. Their agents would take away the static pods of a node that is left out:
// so one that has secrets and no Node is an error, whatever became of the Node.
func (p publisher) controlPlane(ctx context.Context, secrets secret.Set, pool cluster.Pool) ([]cluster.Node, error) {
	list := &corev1.NodeList{}
	if err := p.api.List(ctx, list, client.HasLabels{labelControlPlane}); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var nodes []cluster.Node
	for i := range list.Items {
		node, err := nodeOf(&list.Items[i], pool)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b cluster.Node) int { return strings.Compare(a.Name, b.Name) })
	for _, key := range secrets.Keys() {
		name := secrets[key].Spec.Node
		if name != "" && !slices.ContainsFunc(nodes, func(n cluster.Node) bool { return n.Name == name }) {
			return nil, fmt.Errorf("there is no Node %s with the label %s, but it has the secret %s", name, labelControlPlane, key)
		}
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("there is no Node with the label %s", labelControlPlane)
	}
	return nodes, nil
}

func nodeOf(object *corev1.Node, pool cluster.Pool) (cluster.Node, error) {
	out := cluster.Node{
		Name: object.Name, Pool: pool.Name, Zone: object.Labels[corev1.LabelTopologyZone], Architecture: object.Status.NodeInfo.Architecture,
	}
	for _, address := range object.Status.Addresses {
		if address.Type != corev1.NodeInternalIP {
			continue
		}
		ip, err := netip.ParseAddr(address.Address)
		if err != nil {
			return out, fmt.Errorf("read address of Node %s: %w", object.Name, err)
		}
		out.Addresses = append(out.Addresses, ip)
	}
	if len(out.Addresses) == 0 {
		return out, fmt.Errorf("node %s has no internal address", object.Name)
	}
	return out, nil
}
