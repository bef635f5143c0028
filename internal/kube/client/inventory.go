package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Reference names an object that was applied.
type Reference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

func (r Reference) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// ReferenceTo names an object.
func ReferenceTo(object client.Object) Reference {
	apiVersion, kind := object.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	return Reference{APIVersion: apiVersion, Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName()}
}

// Inventory remembers in a ConfigMap what was applied, so that what leaves the catalog leaves the cluster too.
// It is written before and after applying: a run that is killed in between forgets nothing.
type Inventory struct {
	Client          *Client
	Namespace, Name string
}

// inventoryKey is the ConfigMap's only data key: a JSON list of References.
const inventoryKey = "objects.json"

// Load returns what was applied, nothing when there is no inventory yet.
func (i Inventory) Load(ctx context.Context) ([]Reference, error) {
	object := &corev1.ConfigMap{}
	err := i.Client.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: i.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	var out []Reference
	if err := json.Unmarshal([]byte(object.Data[inventoryKey]), &out); err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	return out, nil
}

// Announce adds what is about to be applied to the inventory.
func (i Inventory) Announce(ctx context.Context, wanted []Reference) error {
	have, err := i.Load(ctx)
	if err != nil {
		return err
	}
	return i.save(ctx, slices.Concat(have, wanted))
}

// Prune deletes what is in the inventory and not wanted any more, and writes down what is left.
// It never deletes a namespace or a resource definition, with which other people's objects would go,
// and nothing that gardenadm does not manage (any more).
func (i Inventory) Prune(ctx context.Context, wanted []Reference) error {
	have, err := i.Load(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, reference := range have {
		if slices.Contains(wanted, reference) || reference.Kind == "Namespace" || reference.Kind == "CustomResourceDefinition" {
			continue
		}
		if err := i.delete(ctx, reference); err != nil {
			errs = append(errs, fmt.Errorf("prune %s: %w", reference, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return i.save(ctx, wanted)
}

func (i Inventory) delete(ctx context.Context, reference Reference) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(reference.APIVersion, reference.Kind))
	err := i.Client.Get(ctx, client.ObjectKey{Namespace: reference.Namespace, Name: reference.Name}, object)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if !managed(object) {
		return nil
	}
	return client.IgnoreNotFound(i.Client.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

func managed(object client.Object) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == FieldManager && f.Operation == metav1.ManagedFieldsOperationApply
	})
}

func (i Inventory) save(ctx context.Context, references []Reference) error {
	references = slices.Clone(references)
	slices.SortFunc(references, func(a, b Reference) int {
		return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	raw, err := json.Marshal(slices.Compact(references))
	if err != nil {
		return err
	}
	return i.Client.ApplyObjects(ctx, &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: i.Namespace, Name: i.Name},
		Data:       map[string]string{inventoryKey: string(raw)},
	})
}
