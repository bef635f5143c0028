package token

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/fault"
)

// Store keeps tokens as Secrets in kube-system.
type Store struct{ API client.Client }

// Create makes the token known to the cluster. One with the same ID that is there already is an error.
func (s Store) Create(ctx context.Context, t Token) error {
	err := s.API.Create(ctx, t.object())
	if apierrors.IsAlreadyExists(err) {
		return fault.New(fault.BadFlag, "create %s: a token with this ID is there already", t)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", t, err)
	}
	return nil
}

// Signed says that the API's controllers have signed cluster-info with the token: before that no machine can join with it.
func (s Store) Signed(ctx context.Context, t Token) (bool, error) {
	info := &corev1.ConfigMap{}
	if err := s.API.Get(ctx, client.ObjectKey{Namespace: metav1.NamespacePublic, Name: bootstrapapi.ConfigMapClusterInfo}, info); err != nil {
		return false, fmt.Errorf("read cluster-info: %w", err)
	}
	return info.Data[bootstrapapi.JWSSignatureKeyPrefix+t.ID] != "", nil
}

// List returns all tokens of the cluster, those that expire first at the beginning.
func (s Store) List(ctx context.Context) ([]Token, error) {
	var list corev1.SecretList
	// Secrets of this type are the only ones whose name begins so; the API selects by type.
	if err := s.API.List(ctx, &list, client.InNamespace(metav1.NamespaceSystem), client.MatchingFields{"type": string(bootstrapapi.SecretTypeBootstrapToken)}); err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var out []Token
	for i := range list.Items {
		out = append(out, fromObject(&list.Items[i]))
	}
	slices.SortFunc(out, func(a, b Token) int { return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// Get returns the token with the ID.
func (s Store) Get(ctx context.Context, id string) (Token, error) {
	object := &corev1.Secret{}
	if err := s.API.Get(ctx, key(id), object); err != nil {
		return Token{}, fmt.Errorf("get token %s: %w", id, err)
	}
	return fromObject(object), nil
}

// Delete makes the token unknown. One that is not there is a fault that wraps the API's error.
func (s Store) Delete(ctx context.Context, id string) error {
	object := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: bootstraputil.BootstrapTokenSecretName(id)}}
	err := s.API.Delete(ctx, object)
	if apierrors.IsNotFound(err) {
		return fault.New(fault.BadFlag, "delete token %s: there is none with this ID: %w", id, err)
	}
	if err != nil {
		return fmt.Errorf("delete token %s: %w", id, err)
	}
	return nil
}

// Use records that a node joins with the token, and refuses it when the token is not for this node and pool, has expired,
// or was used up. now is the time of the API's host. Two nodes that use a single token at once: one of them gets a conflict.
func (s Store) Use(ctx context.Context, id, node, pool string, now time.Time) error {
	object := &corev1.Secret{}
	if err := s.API.Get(ctx, key(id), object); err != nil {
		return fmt.Errorf("get token %s: %w", id, err)
	}
	t := fromObject(object)
	if err := t.Admits(node, pool, now); err != nil {
		return err
	}
	if !slices.Contains(t.UsedBy, node) {
		t.UsedBy = slices.Sorted(slices.Values(append(t.UsedBy, node)))
	}
	t.UsedAt = now
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	for name, value := range t.object().Annotations {
		object.Annotations[name] = value
	}
	if err := s.API.Update(ctx, object); err != nil { // with the version that was read
		return fmt.Errorf("record the use of %s: %w", t, err)
	}
	return nil
}

// Admits is nil when the node of the pool may join with the token now; else it is a fault.
func (t Token) Admits(node, pool string, now time.Time) error {
	switch b := t.Binding; {
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return fault.New(fault.ExpiredToken, "%s expired at %s", t, t.Expires.UTC().Format(time.RFC3339))
	case b.Node != "" && b.Node != node:
		return fault.New(fault.TokenOfAnother, "%s is for node %s, not for %s", t, b.Node, node)
	case b.Pool != "" && b.Pool != pool:
		return fault.New(fault.TokenOfAnother, "%s is for pool %s, not for %s", t, b.Pool, pool)
	case b.SingleUse && len(t.UsedBy) > 0 && !slices.Contains(t.UsedBy, node):
		return fault.New(fault.TokenUsedUp, "%s can be used once, and %s did so", t, t.UsedBy[0])
	}
	return nil
}

func key(id string) client.ObjectKey {
	return client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: bootstraputil.BootstrapTokenSecretName(id)}
}
