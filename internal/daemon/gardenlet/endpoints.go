package gardenlet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/layout"
	"github.com/gardenadm/gardenadm/internal/node/proxy/endpoint"
	"github.com/gardenadm/gardenadm/internal/render/component"
	"github.com/gardenadm/gardenadm/internal/render/component/apiserver"
)

const (
	// endpointsName is the ConfigMap in kube-system that node agents watch (render/component/nodeaccess), endpointsKey its key.
	endpointsName = "gardenadm-endpoints"
	endpointsKey  = "endpoints.json"
	// endpointsEvery is how long what somebody else changed may stay.
	endpointsEvery = time.Minute
)

// Files reads what is on this node's disk, as host.Files does: a missing file is fs.ErrNotExist.
type Files interface {
	Read(ctx context.Context, path string) ([]byte, error)
}

// registrar tells all nodes where API servers are.
type registrar struct {
	world
	files Files
}

// publishEndpoints looks after the list of API servers, and after the Service by which pods know them.
func publishEndpoints(w world, files Files) controller {
	return controller{
		name: "endpoints",
		triggers: []trigger{
			{w.nodes, func(object client.Object) []string {
				if _, ok := object.GetLabels()[labelControlPlane]; !ok {
					return nil
				}
				return []string{endpointsName}
			}},
			{w.definition, always(endpointsName)},
		},
		reconcile: registrar{w, files}.reconcile,
	}
}

func (r registrar) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	known, err := r.definitions.get(ctx)
	if err != nil || known == nil {
		return 0, err
	}
	return endpointsEvery, errors.Join(r.publish(ctx, known.Cluster), r.service(ctx, known.Cluster))
}

// service keeps default/kubernetes on the endpoint proxies: API servers leave it alone.
func (r registrar) service(ctx context.Context, c *cluster.Cluster) error {
	objects, err := apiserver.New().Objects(component.Input{Cluster: c})
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := r.api.ApplyObjects(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// publish writes the list when it has changed. With the version that was read: two gardenlets at once count no number twice.
func (r registrar) publish(ctx context.Context, c *cluster.Cluster) error {
	servers, err := serversOf(all[*corev1.Node](r.nodes))
	if err != nil {
		return err
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: endpointsName}}
	err = r.api.Get(ctx, client.ObjectKeyFromObject(object), object)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get list of API servers: %w", err)
	}
	create := apierrors.IsNotFound(err)
	next, err := r.next(ctx, object.Data[endpointsKey], endpoint.List{Generation: int64(c.Generation), Sequence: 1, Servers: servers})
	if err != nil {
		return err
	}
	raw, err := next.Encode()
	if err != nil || object.Data[endpointsKey] == string(raw) {
		return err
	}
	object.Data = map[string]string{endpointsKey: string(raw)}
	write := func() error { return r.api.Update(ctx, object) }
	if create {
		write = func() error { return r.api.Create(ctx, object) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("write list of API servers: %w", err)
	}
	r.log.Info("list of API servers published", "generation", next.Generation, "sequence", next.Sequence, "servers", len(next.Servers))
	return nil
}

// next gives the list its number: that of the newest list that is known, if it says the same, else the following. When the published one
// is gone or damaged, the one on this node's disk goes on; proxies would believe no list that is older than theirs.
func (r registrar) next(ctx context.Context, published string, want endpoint.List) (endpoint.List, error) {
	last, err := endpoint.Decode([]byte(published))
	if err != nil && published != "" {
		r.log.Warn("the published list of API servers cannot be read", "error", err)
	}
	disk, err := knownServers(ctx, r.files)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("the list of API servers on this node cannot be read", "error", err)
	}
	if disk.Compare(last) > 0 {
		last = disk
	}
	if want.Generation > last.Generation {
		return want, nil
	}
	want.Generation, want.Sequence = last.Generation, last.Sequence
	same, err := equal(want, last)
	if err != nil || same {
		return want, err
	}
	want.Sequence++
	return want, nil
}

func equal(a, b endpoint.List) (bool, error) {
	rawA, err := a.Encode()
	if err != nil {
		return false, err
	}
	rawB, err := b.Encode()
	return bytes.Equal(rawA, rawB), err
}

// knownServers is the list on this node's disk.
func knownServers(ctx context.Context, files Files) (endpoint.List, error) {
	raw, err := files.Read(ctx, layout.FileEndpoints)
	if err != nil {
		return endpoint.List{}, err
	}
	known, err := endpoint.DecodeKnown(raw)
	return known.List, err
}

// serversOf are the API servers of the control plane's nodes. One whose kubelet has not told its address yet is left out; that there is
// none at all is an error, because an empty list would cut off everybody.
func serversOf(nodes []*corev1.Node) ([]endpoint.Server, error) {
	var out []endpoint.Server
	for _, node := range nodes {
		if _, ok := node.Labels[labelControlPlane]; !ok {
			continue
		}
		server := endpoint.Server{Node: node.Name, Draining: certificate.Leaving(node) || node.DeletionTimestamp != nil}
		addresses, err := internalIPs(node)
		if err != nil {
			return nil, err
		}
		for _, address := range addresses {
			server.Addresses = append(server.Addresses, netip.AddrPortFrom(address, cluster.APIServerPort))
		}
		if len(server.Addresses) > 0 {
			out = append(out, server)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no Node with the label %s and an address: the list of API servers stays as it is", labelControlPlane)
	}
	slices.SortFunc(out, func(a, b endpoint.Server) int { return strings.Compare(a.Node, b.Node) })
	return out, nil
}

func internalIPs(node *corev1.Node) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, address := range node.Status.Addresses {
		if address.Type != corev1.NodeInternalIP {
			continue
		}
		ip, err := netip.ParseAddr(address.Address)
		if err != nil {
			return nil, fmt.Errorf("read address of Node %s: %w", node.Name, err)
		}
		out = append(out, ip)
	}
	return out, nil
}
