package apistep

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"

	extensionsv1alpha1 "github.com/gardener/gardener/pkg/apis/extensions/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gardenadm/gardenadm/internal/fault"
	"github.com/gardenadm/gardenadm/internal/kube/certificate"
	"github.com/gardenadm/gardenadm/internal/kube/token"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/offer"
	"github.com/gardenadm/gardenadm/internal/render/osc"
)

// ReadOffer reads what can be joined. That it is not there, or that the token is not accepted, is a fault.
func ReadOffer(ctx context.Context, api client.Client) (offer.Offer, error) {
	object := &corev1.ConfigMap{}
	err := api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: offer.Name}, object)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return offer.Offer{}, fault.New(fault.NotPublished, "read what can be joined: %w", err)
	case err != nil:
		return offer.Offer{}, fmt.Errorf("read what can be joined: %w", accepted(err))
	}
	out, err := offer.Decode([]byte(object.Data[offer.DataKey]))
	if err != nil {
		return offer.Offer{}, fault.New(fault.NotPublished, "read what can be joined: %w", err)
	}
	return out, nil
}

// accepted makes a fault of an answer that says that the API server does not know who asks.
func accepted(err error) error {
	if apierrors.IsUnauthorized(err) {
		return fault.New(fault.TokenRefused, "%w", err)
	}
	return err
}

// Identity is a client certificate and its key, both PEM.
type Identity struct{ Cert, Key []byte }

// NewKey makes a key for a certificate that is yet to be asked for.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// Certify asks for the certificate of the key and waits until it is there or ctx ends. With the same key it goes on where it was.
func Certify(ctx context.Context, api client.Client, order certificate.Order, key *ecdsa.PrivateKey) (Identity, error) {
	cert, err := certificate.Issue(ctx, api, order, key)
	if err != nil {
		return Identity{}, accepted(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Identity{}, fmt.Errorf("encode key: %w", err)
	}
	return Identity{Cert: cert, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})}, nil
}

// ReadConfiguration reads a pool's OperatingSystemConfig from its Secret (contract node-agent-and-osc §5).
func ReadConfiguration(ctx context.Context, api client.Client, name string) (*extensionsv1alpha1.OperatingSystemConfig, error) {
	object := &corev1.Secret{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: name}, object); err != nil {
		return nil, fmt.Errorf("read the pool's configuration: %w", err)
	}
	out := &extensionsv1alpha1.OperatingSystemConfig{}
	if err := yaml.Unmarshal(object.Data[osc.DataKey], out); err != nil {
		// The decoder's text may quote secrets.
		return nil, fmt.Errorf("read the pool's configuration: Secret %s is no YAML, or a field has another type", name)
	}
	if len(out.Spec.Units) == 0 {
		return nil, fmt.Errorf("read the pool's configuration: Secret %s has no units in it", name)
	}
	return out, nil
}

// ReadEndpoints reads the published list of API servers; nil when there is none yet.
func ReadEndpoints(ctx context.Context, api client.Client) ([]byte, error) {
	object := &corev1.ConfigMap{}
	err := api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "gardenadm-endpoints"}, object)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read list of API servers: %w", err)
	}
	return []byte(object.Data["endpoints.json"]), nil
}

// CheckName refuses a name under which another machine is Ready. Whoever asks for certificates is looked at too, but two machines
// may have asked at the same time, with the same token.
func CheckName(ctx context.Context, api client.Client, node cluster.Node) error {
	object := &corev1.Node{}
	err := api.Get(ctx, client.ObjectKey{Name: node.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Node %s: %w", node.Name, err)
	}
	ready := slices.ContainsFunc(object.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	for _, address := range object.Status.Addresses {
		if address.Type == corev1.NodeInternalIP && ready && address.Address != node.IP().String() {
			return fault.New(fault.NodeNameTaken, "join as node %s: the node of this name is Ready at %s, and this machine is %s", node.Name, address.Address, node.IP()).
				Mend("hostnamectl set-hostname NAME on this machine, or on a control plane node: gardenadm node remove %s", node.Name)
		}
	}
	return nil
}

// ControlPlaneAddresses are the addresses of the control plane's nodes in order of their names, at most five.
func ControlPlaneAddresses(ctx context.Context, api client.Client) ([]netip.Addr, error) {
	var nodes corev1.NodeList
	if err := api.List(ctx, &nodes, client.HasLabels{"node-role.kubernetes.io/control-plane"}); err != nil {
		return nil, fmt.Errorf("list nodes of the control plane: %w", err)
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	var out []netip.Addr
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if ip, err := netip.ParseAddr(address.Address); err == nil && address.Type == corev1.NodeInternalIP {
				out = append(out, ip)
				break
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("list nodes of the control plane: none has an address yet")
	}
	return out[:min(len(out), 5)], nil
}

// ClusterPin is the pin of the authority that joining machines are told of.
func ClusterPin(ctx context.Context, api client.Client) (token.Pin, error) {
	info := &corev1.ConfigMap{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: metav1.NamespacePublic, Name: bootstrapapi.ConfigMapClusterInfo}, info); err != nil {
		return token.Pin{}, fmt.Errorf("read cluster-info: %w", err)
	}
	authority, err := token.Authority(info)
	if err != nil {
		return token.Pin{}, err
	}
	pins, err := token.PinOf(authority)
	if err != nil {
		return token.Pin{}, err
	}
	return pins[0], nil
}
