package client

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gardenadm/gardenadm/internal/secret"
)

// SecretStore is the secret.Store in the API: Secrets in kube-system with the labels of Gardener's secrets manager.
type SecretStore struct{ Client *Client }

// Load reads every secret that gardenadm keeps in the API; of several of one key the newest counts.
func (s SecretStore) Load(ctx context.Context) (secret.Set, error) {
	list := &corev1.SecretList{}
	if err := s.Client.List(ctx, list, client.InNamespace(secret.Namespace), client.MatchingLabels(secret.Labels())); err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	set := secret.Set{}
	newest := map[string]corev1.Secret{}
	for _, object := range list.Items {
		found, err := secret.FromObject(&object)
		if err != nil {
			return nil, err
		}
		key := found.Spec.Key()
		if other, ok := newest[key]; ok && object.CreationTimestamp.Before(&other.CreationTimestamp) {
			continue
		}
		newest[key], set[key] = object, found
	}
	return set, nil
}

// Save applies the secret.
func (s SecretStore) Save(ctx context.Context, one secret.Secret) error {
	object, err := secret.Object(one)
	if err != nil {
		return err
	}
	return s.Client.ApplyObjects(ctx, object)
}
