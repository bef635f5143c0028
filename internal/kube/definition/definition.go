// Package definition turns what a cluster is made of into a Secret of its API, and back.
// Used by the steps that reconcile, and by the gardenlet, which has no other source: manifests and bundle are on one node's disk at most.
package definition

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kube "github.com/gardenadm/gardenadm/internal/kube/client"
	"github.com/gardenadm/gardenadm/internal/model/cluster"
	"github.com/gardenadm/gardenadm/internal/model/image"
	"github.com/gardenadm/gardenadm/internal/model/manifest"
)

// Definition is all that a cluster's configuration is rendered from, beside its nodes and its secrets.
type Definition struct {
	// UID is the cluster's identity.
	UID string
	// Manifests are as the user gave them; their Secrets are among them.
	Manifests manifest.Set
	// Images are those of the bundle that the cluster was made with.
	Images image.Vector
	// Renew is the time of AskRenewal, zero when nobody asked. Save leaves it as it is.
	Renew time.Time
}

// Data keys of the Secret.
const (
	keyUID       = "uid"
	keyManifests = "manifests.yaml"
	keyImages    = "images.json"
)

// Key names the Secret.
func Key() client.ObjectKey {
	return client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "gardenadm-cluster"}
}

// Save makes the API hold the definition. What is equal changes nothing.
func Save(ctx context.Context, api *kube.Client, d Definition) error {
	object, err := d.object()
	if err != nil {
		return fmt.Errorf("keep definition of the cluster: %w", err)
	}
	return api.ApplyObjects(ctx, object)
}

// Load reads the definition. One that is not there is a not-found error of the API.
func Load(ctx context.Context, api client.Reader) (Definition, error) {
	object := &corev1.Secret{}
	if err := api.Get(ctx, Key(), object); err != nil {
		return Definition{}, fmt.Errorf("get definition of the cluster: %w", err)
	}
	out, err := fromObject(object)
	if err != nil {
		return Definition{}, fmt.Errorf("read definition of the cluster: %w", err)
	}
	return out, nil
}

// AnnotationRendered on the Secret of a pool's configuration has the Checksum of the definition that it was rendered from.
const AnnotationRendered = "gardenadm.dev/definition"

// Checksum is the SHA-256 of what is defined, in hex; equal definitions have equal ones.
func (d Definition) Checksum() (string, error) {
	object, err := d.object()
	if err != nil {
		return "", fmt.Errorf("encode definition of the cluster: %w", err)
	}
	sum := sha256.New()
	for _, key := range []string{keyUID, keyManifests, keyImages} {
		fmt.Fprintf(sum, "%d:", len(object.Data[key]))
		sum.Write(object.Data[key])
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Cluster makes the cluster that is defined.
func (d Definition) Cluster() (*cluster.Cluster, error) { return cluster.New(d.Manifests, d.UID) }

func (d Definition) object() (*corev1.Secret, error) {
	manifests, err := manifest.Encode(d.Manifests)
	if err != nil {
		return nil, err
	}
	images, err := json.Marshal(d.Images)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: Key().Namespace, Name: Key().Name},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{keyUID: []byte(d.UID), keyManifests: manifests, keyImages: images},
	}, nil
}

func fromObject(object *corev1.Secret) (Definition, error) {
	out := Definition{UID: string(object.Data[keyUID])}
	out.Renew, _ = time.Parse(time.RFC3339, object.Annotations[annotationRenew]) // what cannot be read asks for nothing
	if out.UID == "" {
		return Definition{}, fmt.Errorf("%s is missing", keyUID)
	}
	var err error
	if out.Manifests, err = manifest.Decode(object.Data[keyManifests]); err != nil {
		return Definition{}, err
	}
	if err := json.Unmarshal(object.Data[keyImages], &out.Images); err != nil {
		return Definition{}, fmt.Errorf("decode %s: %w", keyImages, err)
	}
	return out, nil
}
