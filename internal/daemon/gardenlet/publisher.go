package gardenlet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gardener/gardener/pkg/apis/core/v1beta1/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/kube/definition"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/osc"
	render "github.com/gardenadm/gardenadm/internal/render/pool"
	"github.com/gardenadm/gardenadm/internal/secret"
)

const (
	// publishEvery is how long what somebody else changed may stay. What the configurations are made of is watched.
	publishEvery = time.Minute
	// collectSecrets is how long secrets that are issued one after the other are waited for.
	collectSecrets = time.Second
)

// labelControlPlane is given to Nodes by init and by node agents of the control plane; a kubelet may not set it itself.
const labelControlPlane = "node-role.kubernetes.io/control-plane"

// publisher keeps one Secret per pool with the configuration of its nodes.
type publisher struct{ world }

// publishPools watches all that configurations are made of.
func publishPools(w world) controller {
	return controller{
		name: "pools", pause: collectSecrets,
		triggers: []trigger{
			{w.definition, always("all")},
			{w.issued, always("all")},
			{w.nodes, ifControlPlane},
		},
		reconcile: publisher{w}.reconcile,
	}
}

// ifControlPlane names all pools when the Node is of the control plane: workers take images from its mirror.
func ifControlPlane(object client.Object) []string {
	if _, ok := object.GetLabels()[labelControlPlane]; !ok {
		return nil
	}
	return []string{"all"}
}

// reconcile publishes the configurations of all pools. A pool that cannot be rendered keeps its last one.
func (p publisher) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	known, err := p.definitions.get(ctx)
	if err != nil || known == nil {
		return 0, err
	}
	secrets, err := kube.SecretStore{Client: p.api}.Load(ctx)
	if err != nil {
		return 0, err
	}
	in := component.Input{Cluster: known.Cluster, Images: known.Images, Secrets: secrets}
	controlPlane, err := controlPlaneOf(all[*corev1.Node](p.nodes), known.ControlPlane)
	if err == nil {
		err = present(controlPlane, secrets)
	}
	if err != nil {
		return 0, err
	}
	of, err := known.Checksum()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, pool := range known.Pools {
		if err := p.publish(ctx, in, controlPlane, pool, of); err != nil {
			errs = append(errs, fmt.Errorf("publish configuration of pool %s: %w", pool.Name, err))
		}
	}
	return publishEvery, errors.Join(append(errs, p.prune(ctx, known.Cluster))...)
}

// publish applies the configuration of a pool, and says of which definition it is.
func (p publisher) publish(ctx context.Context, in component.Input, controlPlane []cluster.Node, pool cluster.Pool, of string) error {
	config, err := render.Config(in, controlPlane, pool)
	if err != nil {
		return err
	}
	object, err := osc.Secret(in.Cluster, pool, config)
	if err != nil {
		return err
	}
	object.Annotations[definition.AnnotationRendered] = of
	before := p.api.Changes()
	if err := p.api.ApplyObjects(ctx, object); err != nil {
		return err
	}
	if p.api.Changes() != before {
		p.log.Info("configuration published", "pool", pool.Name, "secret", object.Name, "checksum", object.Annotations[osc.AnnotationChecksum], "bytes", len(object.Data[osc.DataKey]))
	}
	return nil
}

// prune removes the configurations that are neither a pool's any more nor that of a Node that is still there.
func (p publisher) prune(ctx context.Context, c *cluster.Cluster) error {
	wanted := map[string]bool{}
	for _, pool := range c.Pools {
		key, err := osc.Key(c, pool)
		if err != nil {
			return err
		}
		wanted[key] = true
	}
	for _, node := range all[*corev1.Node](p.nodes) {
		wanted[node.Labels[constants.LabelWorkerPoolGardenerNodeAgentSecretName]] = true
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := p.api.List(ctx, list, client.InNamespace(metav1.NamespaceSystem), client.MatchingLabels{constants.GardenRole: constants.GardenRoleOperatingSystemConfig})
	if err != nil {
		return fmt.Errorf("list configurations: %w", err)
	}
	var errs []error
	for i := range list.Items {
		one := &list.Items[i]
		if wanted[one.Name] || one.Labels[constants.LabelWorkerPool] == "" {
			continue
		}
		one.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if err := client.IgnoreNotFound(p.api.Delete(ctx, one)); err != nil {
			errs = append(errs, fmt.Errorf("delete configuration %s: %w", one.Name, err))
			continue
		}
		p.log.Info("configuration removed", "pool", one.Labels[constants.LabelWorkerPool], "secret", one.Name)
	}
	return errors.Join(errs...)
}

// controlPlaneOf returns the nodes of the control plane by name.
func controlPlaneOf(all []*corev1.Node, pool cluster.Pool) ([]cluster.Node, error) {
	var nodes []cluster.Node
	for _, object := range all {
		if _, ok := object.Labels[labelControlPlane]; !ok {
			continue
		}
		node, err := nodeOf(object, pool)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b cluster.Node) int { return strings.Compare(a.Name, b.Name) })
	return nodes, nil
}

// present is nil when there is a node, and each one that has secrets. Agents would take away the static pods of one that is left out, so that is an
// error, whatever became of the Node.
func present(controlPlane []cluster.Node, secrets secret.Set) error {
	for _, key := range secrets.Keys() {
		name := secrets[key].Spec.Node
		if name != "" && !slices.ContainsFunc(controlPlane, func(n cluster.Node) bool { return n.Name == name }) {
			return fault.New(fault.LostNode, "there is no Node %s with the label %s, but it has the secret %s", name, labelControlPlane, key)
		}
	}
	if len(controlPlane) == 0 {
		return fmt.Errorf("there is no Node with the label %s", labelControlPlane)
	}
	return nil
}

func nodeOf(object *corev1.Node, pool cluster.Pool) (cluster.Node, error) {
	addresses, err := internalIPs(object)
	if err != nil {
		return cluster.Node{}, err
	}
	if len(addresses) == 0 {
		return cluster.Node{}, fmt.Errorf("node %s has no internal address", object.Name)
	}
	return cluster.Node{
		Name: object.Name, Pool: pool.Name, Zone: object.Labels[corev1.LabelTopologyZone], Architecture: object.Status.NodeInfo.Architecture, Addresses: addresses,
	}, nil
}
